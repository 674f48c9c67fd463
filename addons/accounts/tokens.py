"""A ChatGPT account: its tokens, and what they say of themselves.

Claims: https://api.openai.com/auth and …/profile in the access and id tokens of OpenAI's login.
"""

import re
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from addons.accounts.claims import CLAIMS, jwt_claims
from addons.accounts.quota import number

LONGEST = 320  # characters of an e-mail address, and of anything else that is told of an account


@dataclass(frozen=True)
class Tokens:
    """What a login gave out; none of it is ever shown."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)  # "" where the login gave none
    id: str = field(repr=False)
    at: float = 0.0  # Unix seconds at which they were given out, 0 where that is not known

    @property
    def expires(self) -> float:
        """Unix seconds at which the access token ends by its own words; 0 where it tells none."""
        return number(jwt_claims(self.access).get("exp")) or 0.0

    @property
    def workspace(self) -> str:
        """What the service calls the account id; one workspace may hold several users."""
        told = self._claim("auth", "chatgpt_account_id")
        return told if sendable(told) else ""

    @property
    def user(self) -> str:
        return self._claim("auth", "chatgpt_user_id")

    @property
    def plan(self) -> str:
        """free, plus, pro, team …"""
        return self._claim("auth", "chatgpt_plan_type")

    @property
    def email(self) -> str:
        return self._claim("profile", "email") or plain(jwt_claims(self.id).get("email"))

    @property
    def name(self) -> str:
        """Of the account, the same for ever; it tells nobody whose that is."""
        return "acct_" + sha256(f"{self.workspace}\n{self.user}".encode()).hexdigest()[:12]

    def _claim(self, group: str, name: str) -> str:
        for token in (self.access, self.id):
            told: Any = jwt_claims(token).get(CLAIMS + group)
            if isinstance(told, dict) and (text := plain(told.get(name))):
                return text
        return ""


def plain(told: Any) -> str:
    """A text that can be shown, logged and kept as it is; "" for all else."""
    return told if isinstance(told, str) and told.isprintable() and len(told) <= LONGEST else ""


def sendable(*texts: str) -> bool:
    """Whether they fit into a header, of which they cannot make two."""
    return all(re.fullmatch(r"[!-~]*", text) for text in texts)
