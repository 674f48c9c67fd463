"""Text of clients and upstreams as people may see it: on a terminal, in a label, in a message."""

import re

# Control characters, the escapes of terminals among them; invisible characters and those that turn
# the direction of writing; ends of lines; and halves of surrogate pairs. ZWNJ and ZWJ stay, as
# Persian and emoji need them.
UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\U00013430-\U0001343f\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def printable(text: str, limit: int = 2_000) -> str:
    """The text on one line, with what cannot be seen as an escape such as `\\x1b`.

    At most `limit` characters; a text that is cut ends in "…".
    """
    escaped = UNPRINTABLE.sub(_escape, text[:limit])
    if len(escaped) <= limit and len(text) <= limit:
        return escaped
    return escaped[: limit - 1] + "…"


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()
