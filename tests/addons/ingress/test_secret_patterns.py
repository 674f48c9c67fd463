"""The shapes of secrets: each finds its example, and none takes more than linear time."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.ingress.redaction import mask_json
from addons.ingress.secret_patterns import SECRET, SECRET_PATTERNS, SecretPattern
from tests.codex.driver import unsigned_token

# Repeated, they make a careless pattern read to the end of the text from each piece.
HOSTILE_PIECES = [
    *("eyJ", "eyJ-", "eyJabcdefgh.", "eyJaaaaaaaaa-eyJ.", "-----BEGIN ", "-----BEGIN A A "),
    *("-----BEGIN PRIVATE KEY-----", "sk-", "Bearer ", "gAAAA-", "AIza-", "xoxb-", "AKIAA", "a"),
    *("ghp-", "github_pat-", "xoxb_", "hf_", "sk-a1", "Bearer a", "Bearer a|", "bearer 1 "),
]

# Whatever has one of these forms is a secret, even if it may be an identifier.
SURE_FORMS = [
    r"(sk|rk|pk|gsk|xai|hf|glpat|sess)[-_][A-Za-z0-9_-]{16,}",
    *(r"gh[pousr]_[A-Za-z0-9]{30,}", r"github_pat_\w{30,}", r"xox[abeprs]-[A-Za-z0-9-]{10,}"),
    *(r"A(KIA|SIA)[0-9A-Z]{16}", r"AIza[\w-]{35}", r"eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*"),
    r"-----BEGIN [A-Z ]{0,9}PRIVATE KEY-----[^-]*-----END [A-Z ]{0,9}PRIVATE KEY-----",
    r"[Bb]earer [\w.~+/=-]{16,}",
]


@pytest.mark.parametrize("row", SECRET_PATTERNS, ids=[row.name for row in SECRET_PATTERNS])
def test_each_pattern_finds_its_example(row: SecretPattern) -> None:
    for text in (row.example, f"it is {row.example}, he said"):
        match = re.search(row.pattern, text)
        assert match and row.example.endswith(match[0].removesuffix(","))
    assert SECRET.sub("", row.example) in ("", "authorization: bearer ")


@pytest.mark.parametrize("row", SECRET_PATTERNS, ids=[row.name for row in SECRET_PATTERNS])
def test_counter_examples_stay(row: SecretPattern) -> None:
    assert row.counter_examples
    for text in row.counter_examples:
        assert SECRET.sub("*", f"it is {text}, he said") == f"it is {text}, he said"


def test_identifiers_and_variables_stay_in_json() -> None:
    value = {
        "a": "from huggingface_hub import hf_hub_download; struct sk_buff_head; "
        "curl -H 'Authorization: Bearer $OPENAI_API_KEY'"
    }
    assert mask_json(value) == value


@given(secret=st.one_of([st.from_regex(form, fullmatch=True) for form in SURE_FORMS]))
def test_sure_forms_are_hidden_whole(secret: str) -> None:
    assert SECRET.sub("*", secret) in ("*", "Bearer *", "bearer *")


@pytest.mark.parametrize(
    "secret",
    [
        *("sk-proj-abcdefghijklmnop1234", "gsk_abcdefghijklmnop1234", "rk_live_abcdefgh"),
        *("sk-abcd1234", "sk-12345678", "sk-proj-abcd1234", "xai-1a2b3c4d"),
        *("ghp_abcdefghijklmnopqrstuvwxyz0123456789", "github_pat_11ABCDEFG0abcdefghi"),
        *("AKIAABCDEFGHIJKLMNOP", "ASIAABCDEFGHIJKLMNOP", "pk-lf-0123456789abcdef"),
        *("xoxb-1234567890-abcdef", "xoxe-1-abcdef1234", "sess-abcdefghijklmnop1234"),
        *("AIzaSyA1234567890abcdefghijklmnopqrstuv", "gAAAAABk" + "x_-1" * 12 + "=="),
        *(unsigned_token({}), unsigned_token({"a": 1}), "eyJhbGciOiJub25lIn0.eyJhIjoxfQ."),
        "-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\\nabc\\n-----END PRIVATE KEY-----",  # in JSON
    ],
)
def test_secrets_are_found_whole(secret: str) -> None:
    assert SECRET.sub("*", f"it is {secret}, he said") == "it is *, he said"
    assert SECRET.sub("*", f'{{"key": "{secret}"}}') == '{"key": "*"}'


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_bearer_tokens_of_any_shape_are_found(scheme: str) -> None:
    for token in ("a+b/c.d~e=1", "12|abcdefgh", "abcdefghijklmnop", "abcd1234!$xyz"):
        assert SECRET.sub("*", f"{scheme} {token}") == f"{scheme} *"


def test_ordinary_words_stay() -> None:
    text = (
        "sk-learn, task-force, eyJ, Bearer of news; ask-me-anything-about-this-long-name; pk_user"
    )
    assert SECRET.search(text) is None


@pytest.mark.parametrize("piece", HOSTILE_PIECES)
def test_time_is_linear_in_the_text(piece: str) -> None:
    text = piece * (200_000 // len(piece))
    start = time.perf_counter()
    SECRET.sub("", text)
    assert time.perf_counter() - start < 2  # s; a pattern that backtracks needs minutes


def test_patterns_can_be_joined() -> None:
    for row in SECRET_PATTERNS:
        assert re.compile(row.pattern).groups == 0, row.name
        assert not row.pattern.startswith("(?i"), row.name
