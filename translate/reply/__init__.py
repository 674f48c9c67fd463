"""The machines that translate a reply as it streams."""
