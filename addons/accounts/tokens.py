"""The tokens of a ChatGPT account, and the facts about the account in their claims.

OpenAI's access and id tokens have the claims https://api.openai.com/auth and …/profile.
"""

import re
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from addons.accounts.claims import CLAIM_PREFIX, jwt_claims
from addons.accounts.quota import parse_number

MAX_TEXT_LENGTH = 320  # characters of an e-mail address, and of every other claim that is shown


@dataclass(frozen=True)
class Tokens:
    """The tokens of one login. `repr` hides them."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)  # "" if the login gave none
    id_token: str = field(repr=False)
    issued_at: float = 0.0  # Unix seconds, 0 if unknown

    @property
    def expires_at(self) -> float:
        """Unix seconds at which the access token expires, 0 if it does not say."""
        return parse_number(jwt_claims(self.access_token).get("exp")) or 0.0

    @property
    def workspace(self) -> str:
        """The id that OpenAI calls `chatgpt_account_id`. Several users may share a workspace."""
        workspace = self._claim("auth", "chatgpt_account_id")
        return workspace if fits_header(workspace) else ""

    @property
    def user_id(self) -> str:
        return self._claim("auth", "chatgpt_user_id")

    @property
    def plan(self) -> str:
        """free, plus, pro, team …"""
        return self._claim("auth", "chatgpt_plan_type")

    @property
    def email(self) -> str:
        from_id_token = printable_text(jwt_claims(self.id_token).get("email"))
        return self._claim("profile", "email") or from_id_token

    @property
    def account_name(self) -> str:
        """A name for the account that is always the same and does not reveal its owner."""
        return "acct_" + sha256(f"{self.workspace}\n{self.user_id}".encode()).hexdigest()[:12]

    def _claim(self, group: str, name: str) -> str:
        for token in (self.access_token, self.id_token):
            claims: Any = jwt_claims(token).get(CLAIM_PREFIX + group)
            if isinstance(claims, dict) and (text := printable_text(claims.get(name))):
                return text
        return ""


def printable_text(value: Any) -> str:
    """The value if it is a short text that can be shown and logged unchanged, else ""."""
    if isinstance(value, str) and value.isprintable() and len(value) <= MAX_TEXT_LENGTH:
        return value
    return ""


def fits_header(*texts: str) -> bool:
    """Whether each text is visible ASCII, so that it can be a header's value and add no header."""
    return all(re.fullmatch(r"[!-~]*", text) for text in texts)
