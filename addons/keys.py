"""What clients bring as Bearer, and which of it is OpenAI's and must stay with OpenAI."""

import base64
import hmac
import json
import re
from typing import Any

from mitmproxy.http import HTTPFlow

from addons import config
from addons.hidden import sent

OPENAI_KEY = re.compile(r"sk-(proj|svcacct|admin)-|^sess-|T3BlbkFJ")  # the mark of its older keys
CLAIMS = "https://api.openai.com/"
ISSUER = "https://auth.openai.com"


def bearer(flow: HTTPFlow) -> str:
    """The request's one token; none where several are sent, or what no key can be."""
    fields = sent(flow, "authorization")
    scheme, _, token = fields[0].partition(" ") if len(fields) == 1 else ("", "", "")
    token = token.strip(" ")
    fits = scheme.lower() == "bearer" and re.fullmatch(r"[^\s,\"']+", token)
    return token if fits else ""


def accepted(token: str) -> str | None:
    """The name of this client key, or None where it is none; the time that this takes does not
    tell how near it comes."""
    keys, sent = config.settings().client_key, token.encode("utf-8", "surrogateescape")
    fits = [hmac.compare_digest(sent, key.secret.get_secret_value().encode()) for key in keys]
    return next((key.name for key, fit in zip(keys, fits, strict=True) if fit), None)


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
