"""The relay's name and version, which it also gives to OpenAI's services."""

VERSION = "0.2.0"  # the package's too: its build reads it here
ORIGINATOR = "mitmcodex"
USER_AGENT = f"{ORIGINATOR}/{VERSION}"
PARENT_VARIABLE = "RELAY_PARENT"  # environment variable: the process with which the relay ends
MARK_VARIABLE = "RELAY_MARK"  # environment variable: the `mark` that `launch` gives a relay
WEB_PAGE_VARIABLE = "RELAY_WEB_PAGE"  # environment variable: the file for the URL of mitmweb's page
