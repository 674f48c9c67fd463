"""Keys in use are masked in every form in which JSON may write them, across all cuts."""

import json
from collections.abc import Callable

import pytest

from addons.flow_data import MASK
from addons.secret_mask import SecretMask, secret_texts

KEY = 'sk-a/b+c=d"e\\f<g>&'  # characters that JSON escapes, or that encoders escape anyway
HIDDEN = MASK.encode()


def every_character(text: str) -> str:
    units = text.encode("utf-16-be")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def json_text(text: str) -> str:
    """The text as it stands between the quotes of a JSON string."""
    return json.dumps(text)[1:-1]


WRITTEN_FORMS: dict[str, Callable[[str], str]] = {
    "as it is": lambda key: key,
    "JSON": json_text,
    "JSON in JSON": lambda key: json_text(json_text(key)),
    "JSON of PHP": lambda key: json_text(key).replace("/", "\\/"),
    "JSON of PHP, in JSON": lambda key: json_text(json_text(key).replace("/", "\\/")),
    "JSON for a page": lambda key: json_text(key).replace("<", "\\u003C").replace("&", "\\u0026"),
    "each character escaped": every_character,
    "each character escaped, in JSON": lambda key: json_text(every_character(key)),
}


@pytest.mark.parametrize("key", ["k-secret", KEY, "eyJhbGciOi.eyJzdWIiOi.sig_-" * 6])
@pytest.mark.parametrize("form", WRITTEN_FORMS)
def test_key_is_masked_however_it_is_written_and_cut(form: str, key: str) -> None:
    written = WRITTEN_FORMS[form](key).encode()
    content = b'data: {"a": "sk-s \\u00e9 ' + written + b" and " + written + b'"}\n\nmore sk'
    masked = SecretMask([f"Bearer {key}"]).mask_content(content)
    assert masked.count(HIDDEN) == 2
    assert masked == content.replace(written, HIDDEN)
    sizes = range(1 + len(written) // 90, len(content), 1 + len(content) // 9)
    for size in sizes:
        mask = SecretMask([f"Bearer {key}"])
        cuts = range(0, len(content), size)
        pieces = [mask.feed(content[at : at + size]) for at in cuts]
        assert b"".join([*pieces, mask.close()]) == masked, size
    for cut in range(0, len(content), 1 + len(content) // 100):
        mask = SecretMask([key])
        assert mask.feed(content[:cut]) + mask.feed(content[cut:]) + mask.close() == masked, cut


def test_only_a_possible_start_of_the_key_is_held_back() -> None:
    mask = SecretMask(["k-secret"])
    assert mask.feed(b'{"text": "a k-sec') == b'{"text": "a '
    assert mask.feed(b"ond k") == b"k-second "
    assert mask.feed(b"\n\n") == b"k\n\n"
    assert mask.feed(b"k-secre") == b""
    assert mask.close() == b"k-secre"
    assert mask.close() == b""


def test_large_part_of_a_key_at_the_end_is_masked() -> None:
    mask = SecretMask(["k-secret-of-mine"])
    assert mask.feed(b"It is k-secret-of-min") == b"It is "
    assert mask.close() == HIDDEN


def test_short_keys_and_placeholders_are_not_searched_for() -> None:
    values = ["Bearer k", "Bearer ollama", "Bearer lm-studio", "k-secret", "Basic dXNlcjpwYXNz"]
    assert secret_texts(values) == ["dXNlcjpwYXNz", "k-secret"]
    assert SecretMask(values).mask_content(b"k, ollama and lm-studio") == b"k, ollama and lm-studio"


def test_longer_of_two_keys_is_masked_whole() -> None:
    keys = ["k-secret", "k-secret-too"]
    assert SecretMask(keys).mask_content(b"k-secret-too, k-secret") == HIDDEN + b", " + HIDDEN


def test_without_secrets_nothing_is_held_back() -> None:
    mask = SecretMask([])
    assert mask.feed(b"anything k-sec") == b"anything k-sec"
    assert mask.close() == b""
