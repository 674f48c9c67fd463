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
    counter_examples: tuple[str, ...]  # ordinary texts that begin alike and stay as they are


# Programs have identifiers that begin like keys, as `hf_hub_download`: a short rest is a secret
# only with digits. A long rest is a secret even if it may be an identifier: a leak would be worse.
SECRET_PATTERNS = (
    SecretPattern(
        "private_key",
        r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----(?:(?!-----)[\s\S])*+"
        r"-----END [A-Z ]{0,40}PRIVATE KEY-----",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEow==\n-----END RSA PRIVATE KEY-----",
        ("-----BEGIN PUBLIC KEY-----\nMIIEow==\n-----END PUBLIC KEY-----",),
    ),
    SecretPattern(  # stops before another "-eyJ", or the search from each would take in the rest
        "json_web_token",
        r"\beyJ(?:(?!-eyJ)[\w-]){8,}+\.[\w-]{3,}+(?:\.[\w-]*+)?",
        "eyJhbGciOiJub25lIn0.eyJhIjoxfQ.",
        ("eyJson.parse", "eyJhbGciOiJub25lIn0"),
    ),
    SecretPattern(  # a variable begins with another character: `$KEY`, `{key}`, `<key>`, `%s`
        "bearer",
        r"(?<=[Bb]earer )(?:[\w.~+/=-]{16}|(?=[\w.~+/=|-]{0,30}[0-9])[\w.~+/=|-]{8})"
        r"[^\s\"'\\`<>(){}\[\],;]*+",
        "authorization: bearer abcd1234",
        (
            *("bearer authentication", "Bearer authorization, then", "Bearer {api_key}"),
            *("Bearer $OPENAI_API_KEY", "Bearer ${OPENAI_API_KEY_2}", "Bearer <your-api-key-1>"),
            *("Bearer %(access_token)s", "Bearer [access_token_1]", "bearer tokens. See RFC 6750"),
        ),
    ),
    SecretPattern(
        "fernet_token",
        r"\bgAAAA[\w=-]{40,}+",
        f"gAAAAABk{'x1_-' * 12}==",
        ("gAAAA", "gAAAA_counter"),
    ),
    SecretPattern(  # OpenAI, Stripe, Groq, Hugging Face, GitLab, xAI
        "prefixed_key",
        r"\b(?:sk|rk|gsk|hf|glpat|xai)[-_](?:[\w-]{16}|live_[A-Za-z0-9]{8}|(?:(?:proj|live|test)[-_])?"
        r"(?=[A-Za-z]{0,15}+[0-9][A-Za-z]{0,15}+[0-9])[A-Za-z0-9]{8})[\w-]*+",
        "sk-proj-abcdefghijklmnop1234",
        (
            *("from huggingface_hub import hf_hub_download", "struct sk_buff_head", "gsk_vector3d"),
            *("sk-learn-contrib", "gsk_widget_new", "xai_explainer", "hf_llama3_8b", "rk_rk3399_x"),
            *("glpat_token_name", "rk_adaptive_step", "sk_live_stream", "sk_buff_v2_head"),
        ),
    ),
    SecretPattern(
        "session_or_public_key",
        r"\b(?:sess|pk)[-_][\w-]{16,}+",
        "sess-abcdefghijklmnop1234",
        ("pk_user_id", "sess_start_time"),
    ),
    SecretPattern(
        "github_token",
        r"\b(?:gh[pousr]_[A-Za-z0-9]{30}|github_pat_\w{30}"
        r"|(?:gh[pousr]|github_pat)[-_](?=[\w-]{0,30}[0-9])[\w-]{16})[\w-]*+",
        "github_pat_11ABCDEFG0abcdefghijkl_mnopqrstuvwxyz",
        ("github_pat_rotation_schedule", "ghp_import_main", "ghp-import-2.1.0"),
    ),
    SecretPattern(
        "slack_token",
        r"\bxox[abeprs](?:-[A-Za-z0-9-]{10}|[-_](?=[\w-]{0,30}[0-9])[\w-]{8})[\w-]*+",
        "xoxe-1-abcdef1234",
        ("xoxb_token_name", "xoxp-token"),
    ),
    SecretPattern(
        "aws_access_key",
        r"\bA(?:KIA|SIA)[0-9A-Z]{16}\b",
        "ASIAABCDEFGHIJKLMNOP",
        ("AKIA", "ASIAN_MARKETS_OPEN_TODAY"),
    ),
    SecretPattern(
        "google_api_key",
        r"\bAIza[\w-]{30,}+",
        "AIzaSyA1234567890abcdefghijklmnopqrstuv",
        ("AIza", "AIza_key_name"),
    ),
)

# Any secret of the table.
SECRET = re.compile("|".join(row.pattern for row in SECRET_PATTERNS))
