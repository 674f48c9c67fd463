"""What an OpenAI token says of itself, and which tokens must stay with OpenAI."""

import base64
import json
import re
from typing import Any

OPENAI_KEY = re.compile(r"sk-(proj|svcacct|admin)-|^sess-|T3BlbkFJ")  # the mark of its older keys
CLAIMS = "https://api.openai.com/"
ISSUER = "https://auth.openai.com"


def is_openais(token: str) -> bool:
    """An API key of OpenAI's, or a token that its login gave out."""
    claims = jwt_claims(token)
    issued = str(claims.get("iss", "")).startswith(ISSUER)
    return issued or bool(OPENAI_KEY.search(token)) or any(c.startswith(CLAIMS) for c in claims)


def chatgpt_account(token: str) -> str | None:
    """The account in a ChatGPT token's own claims."""
    auth = jwt_claims(token).get(CLAIMS + "auth")
    found = auth.get("chatgpt_account_id") if isinstance(auth, dict) else None
    return found if isinstance(found, str) else None


def jwt_claims(token: str) -> dict[str, Any]:
    """What a JSON web token says of itself. Nothing depends on its being genuine."""
    try:
        claims = token.split(".")[1]
        parsed = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    except (ValueError, LookupError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}
