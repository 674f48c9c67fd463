"""The claims in an OpenAI token, and which tokens must stay with OpenAI."""

import base64
import json
import re
from typing import Any

OPENAI_KEY = re.compile(r"sk-(proj|svcacct|admin)-|^sess-|T3BlbkFJ")  # older keys have T3BlbkFJ
CLAIM_PREFIX = "https://api.openai.com/"
OPENAI_ISSUER = "https://auth.openai.com"


def is_openai_token(token: str) -> bool:
    """Whether this is an OpenAI API key, or a token that OpenAI's login issued."""
    claims = jwt_claims(token)
    issued_by_openai = str(claims.get("iss", "")).startswith(OPENAI_ISSUER)
    has_openai_claim = any(name.startswith(CLAIM_PREFIX) for name in claims)
    return issued_by_openai or has_openai_claim or bool(OPENAI_KEY.search(token))


def chatgpt_account_id(token: str) -> str | None:
    """The account id in the claims of a ChatGPT token."""
    auth = jwt_claims(token).get(CLAIM_PREFIX + "auth")
    account_id = auth.get("chatgpt_account_id") if isinstance(auth, dict) else None
    return account_id if isinstance(account_id, str) else None


def jwt_claims(token: str) -> dict[str, Any]:
    """The claims of a JSON web token, {} for any other text. The signature is not checked, as
    nothing in the relay depends on a genuine token."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, LookupError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}
