"""The relay's name and version, which it also gives to OpenAI's services."""

VERSION = "0.2.0"  # as in pyproject.toml; a test compares them
ORIGINATOR = "mitmcodex"
USER_AGENT = f"{ORIGINATOR}/{VERSION}"
MARK_VARIABLE = "RELAY_MARK"  # environment variable: the `mark` that `launch` gives a relay
