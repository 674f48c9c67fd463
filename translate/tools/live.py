"""A call's text while its arguments are still arriving, so that clients see it grow."""

import re

from translate.wire import codec

HEAD = re.compile(r'\s*\{\s*"input"\s*:\s*"')
# whole characters of a JSON string: a surrogate pair counts as one, a lone high one must wait
WHOLE = re.compile(
    r'(?:[^"\\]|\\[^u]'
    r"|\\u(?=[0-9a-fA-F]{0,3}[^0-9a-fA-F])"
    r"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|\\u(?![dD][89abAB])[0-9a-fA-F]{4})*"
)

TAIL = re.compile(r'("\s*}*)?\s*')


class Verbatim:
    """Function arguments: the text is the arguments themselves."""

    rest = ""

    def feed(self, piece: str) -> str:
        return piece


class InputText:
    """Freeform input: the decoded value of `{"input": "…"}`. Anything else stays silent.

    Models leave newlines and backslashes (`\\d`) in it as they are, or put a brace too many behind
    it: no JSON, but with one meaning only.
    """

    def __init__(self) -> None:
        self._rest = ""
        self._inside = HEAD

    @property
    def rest(self) -> str:
        """What follows the text that was understood: nothing, if that was all of it."""
        return "" if TAIL.fullmatch(self._rest) else self._rest

    def feed(self, piece: str) -> str:
        self._rest += piece
        if self._inside is HEAD:
            head = HEAD.match(self._rest)
            if head is None:
                return ""
            self._rest = self._rest[head.end() :]
            self._inside = WHOLE
        whole = WHOLE.match(self._rest)
        text = whole.group() if whole else ""
        self._rest = self._rest[len(text) :]
        return codec.unquoted(text) if text else ""


LIVE: dict[str, type[Verbatim] | type[InputText]] = {"arguments": Verbatim, "input": InputText}
