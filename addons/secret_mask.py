"""Masks the keys and tokens in use, in all that comes back from the host that gets them.

Some upstreams repeat the key that they were sent. The search takes plain keys, and keys with
characters that JSON escapes, also in texts of JSON inside JSON.

`transport.upstream_mask` applies it to all that an upstream sends, before anything else sees it.
What the relay joins from several pieces is masked again where it leaves: events in
`transport.relay_stream`, whole replies in `exchange.addon`, saved turns in `observe.corpus`.
"""

import re
from collections.abc import Iterable
from functools import cached_property, lru_cache

from addons.flow_data import MASK

# Characters. Shorter keys are not searched for in texts: a local server's may be a word.
MIN_SECRET_LENGTH = 8
# Keys by which clients say that they have none. They are ordinary words in a reply.
PLACEHOLDER_KEYS = frozenset(
    {"anything", "dummy-key", "lm-studio", "no-key-required", "not-needed", "not-required"}
    | {"placeholder", "sk-no-key-required"}
)
MAX_BACKSLASHES = 7  # of an escape: JSON in JSON in JSON
ESCAPE_LENGTH = MAX_BACKSLASHES + 5  # bytes of an escape, at most
# The rest of a piece that ends inside an escape, or before a character.
CUT_ESCAPE = rb"\\{1,%d}(?:u[0-9A-Fa-f]{0,3})?\Z" % MAX_BACKSLASHES
CUT = re.compile(rb"\Z|%b" % CUT_ESCAPE)
START_LENGTH = 4  # characters of a key by which candidates are found

HIDDEN = MASK.encode()


def secret_texts(values: Iterable[str]) -> list[str]:
    """The secrets in the values of headers, without `Bearer`, that texts are searched for; the
    longest first."""
    secrets = {without_scheme(value) for value in values} - PLACEHOLDER_KEYS
    long_secrets = (secret for secret in secrets if len(secret) >= MIN_SECRET_LENGTH)
    return sorted(long_secrets, key=lambda secret: (-len(secret), secret))


def without_scheme(value: str) -> str:
    scheme, space, rest = value.partition(" ")
    return rest.strip() if space and scheme.isalpha() else value


class SecretMask:
    """Masks the secrets in these values of headers, in bytes that may be cut anywhere.

    `feed` holds back the end of a piece only if it may be the start of a secret; `close` returns
    what is held back, masked if it is a large part of a secret.
    """

    def __init__(self, values: Iterable[str]) -> None:
        self._searches = [secret_search(secret) for secret in secret_texts(values)]
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        data = self.mask_content(self._rest + data if self._rest else data)
        cut = min((search.open_start(data) for search in self._searches), default=len(data))
        data, self._rest = data[:cut], data[cut:]
        return data

    def close(self) -> bytes:
        rest, self._rest = self._rest, b""
        return rest if len(rest) < MIN_SECRET_LENGTH else HIDDEN

    def mask_content(self, content: bytes) -> bytes:
        """The whole content with MASK for each secret."""
        for search in self._searches:
            content = search.replace_secret(content)
        return content


class SecretSearch:
    """Finds one secret in bytes, in time linear in their length."""

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._bytes = secret.encode("utf-8", "surrogatepass")
        # Bytes without which no character of the secret is escaped.
        self._escape_signs = [b"\\u00" if secret.isascii() else b"\\u"]
        self._escape_signs += [b"\\" + sign.encode() for sign in '/"\\' if sign in secret]

    @cached_property
    def _characters(self) -> list[re.Pattern[bytes]]:
        return [character_pattern(character) for character in self._secret]

    @cached_property
    def _start(self) -> re.Pattern[bytes]:
        """An empty match at each place where the first characters stand, or the piece ends in
        them."""
        start = character_forms(self._secret[START_LENGTH - 1])
        for character in reversed(self._secret[: START_LENGTH - 1]):
            start = b"%b(?:%b|%b)" % (character_forms(character), start, CUT.pattern)
        return re.compile(rb"(?=%b|%b)" % (start, CUT_ESCAPE))

    def replace_secret(self, data: bytes) -> bytes:
        """The data with MASK for each whole secret in it."""
        data = data.replace(self._bytes, HIDDEN)
        if not any(sign in data for sign in self._escape_signs):
            return data
        pieces: list[bytes] = []
        copied = 0
        for match in self._start.finditer(data):
            start = match.start()
            end = self._match_end(data, start) if start >= copied else None
            if end is not None and end >= 0:
                pieces += data[copied:start], HIDDEN
                copied = end
        return b"".join([*pieces, data[copied:]])

    def open_start(self, data: bytes) -> int:
        """Where a secret may begin whose end is in the next piece; `len(data)` if nowhere."""
        if data.endswith(b"\n"):  # as events do, and no secret spans two lines
            return len(data)
        longest = len(self._secret) * ESCAPE_LENGTH
        line_start = data.rfind(b"\n") + 1
        for match in self._start.finditer(data, max(line_start, len(data) - longest)):
            if self._match_end(data, match.start()) == -1:
                return match.start()
        return len(data)

    def _match_end(self, data: bytes, start: int) -> int | None:
        """Where the secret ends that begins here; -1 if the data ends before; None if it is
        another text."""
        position = start
        for pattern in self._characters:
            if not (match := pattern.match(data, position)):
                return -1 if CUT.match(data, position) else None
            position = match.end()
        return position


@lru_cache(maxsize=64)
def secret_search(secret: str) -> SecretSearch:
    return SecretSearch(secret)


@lru_cache(maxsize=256)
def character_pattern(character: str) -> re.Pattern[bytes]:
    return re.compile(character_forms(character))


def character_forms(character: str) -> bytes:
    """A pattern for the character as it is, and as JSON may escape it."""
    units = character.encode("utf-16-be", "surrogatepass").hex()
    escape = b"".join(
        rb"\\{1,%d}(?i:u%b)" % (MAX_BACKSLASHES, units[at : at + 4].encode())
        for at in range(0, len(units), 4)
    )
    if character == "\\":
        return rb"(?:%b|\\{1,%d}(?!u))" % (escape, MAX_BACKSLASHES + 1)
    forms = [re.escape(character.encode("utf-8", "surrogatepass")), escape]
    if character in '/"':
        forms.append(rb"\\{1,%d}%b" % (MAX_BACKSLASHES, character.encode()))
    return b"(?:%b)" % b"|".join(forms)
