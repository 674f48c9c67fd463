"""The shapes of keys and tokens in texts: one table for everything that masks a text.

A search takes time linear in the length of the text: no pattern reads the same characters from many
starting points.
"""

import re
from typing import NamedTuple


class SecretPattern(NamedTuple):
    name: str
    pattern: str  # without groups or flags, so that it can be part of a larger pattern
    example: str  # a text that ends with such a secret


SECRET_PATTERNS = (
    SecretPattern(
        "private_key",
        r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----(?:(?!-----)[\s\S])*+"
        r"-----END [A-Z ]{0,40}PRIVATE KEY-----",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEow==\n-----END RSA PRIVATE KEY-----",
    ),
    SecretPattern(  # stops before another "-eyJ", or the search from each would take in the rest
        "json_web_token",
        r"\beyJ(?:(?!-eyJ)[\w-]){8,}+\.[\w-]{3,}+(?:\.[\w-]*+)?",
        "eyJhbGciOiJub25lIn0.eyJhIjoxfQ.",
    ),
    SecretPattern("bearer", r"(?<=[Bb]earer )[^\s\"'\\]{8,}+", "authorization: bearer abcd1234"),
    SecretPattern("fernet_token", r"\bgAAAA[\w=-]{40,}+", f"gAAAAABk{'x1_-' * 12}=="),
    SecretPattern(  # OpenAI, Stripe, Groq, Hugging Face, GitLab, xAI
        "prefixed_key",
        r"\b(?:sk|rk|gsk|hf|glpat|xai)[-_][\w-]{8,}+",
        "sk-proj-abcdefghijklmnop1234",
    ),
    SecretPattern(  # with a longer rest, as identifiers in programs begin alike: `pk_user_id`
        "session_or_public_key",
        r"\b(?:sess|pk)[-_][\w-]{16,}+",
        "sess-abcdefghijklmnop1234",
    ),
    SecretPattern(
        "github_token",
        r"\b(?:gh[pousr]|github_pat)[-_][\w-]{8,}+",
        "github_pat_11ABCDEFG0abcdefghijkl_mnopqrstuvwxyz",
    ),
    SecretPattern("slack_token", r"\bxox[abeprs][-_][\w-]{8,}+", "xoxe-1-abcdef1234"),
    SecretPattern("aws_access_key", r"\bA(?:KIA|SIA)[0-9A-Z]{16}\b", "ASIAABCDEFGHIJKLMNOP"),
    SecretPattern(
        "google_api_key", r"\bAIza[\w-]{30,}+", "AIzaSyA1234567890abcdefghijklmnopqrstuv"
    ),
)

# Any secret of the table.
SECRET = re.compile("|".join(row.pattern for row in SECRET_PATTERNS))
