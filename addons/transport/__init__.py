"""How an exchange is carried: retries, heartbeats, clean endings; on mitmproxy's private API."""
