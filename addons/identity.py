"""Who we say we are to OpenAI's services: ourselves."""

VERSION = "0.1.0"  # as in pyproject.toml, a test sees to it
ORIGINATOR = "codex-relay"
USER_AGENT = f"{ORIGINATOR}/{VERSION}"
MARK = "RELAY_MARK"  # a variable: what `launch` knows the relay by that it has started
