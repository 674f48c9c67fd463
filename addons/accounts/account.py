"""A ChatGPT account: its tokens, and what they say of themselves.

Claims: https://api.openai.com/auth and …/profile in the access and id tokens of OpenAI's login.
"""

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from addons.keys import CLAIMS, jwt_claims


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
        exp = jwt_claims(self.access).get("exp")
        return float(exp) if isinstance(exp, int | float) else 0.0

    @property
    def workspace(self) -> str:
        """What the service calls the account id; one workspace may hold several users."""
        return self._claim("auth", "chatgpt_account_id")

    @property
    def user(self) -> str:
        return self._claim("auth", "chatgpt_user_id")

    @property
    def plan(self) -> str:
        """free, plus, pro, team …"""
        return self._claim("auth", "chatgpt_plan_type")

    @property
    def email(self) -> str:
        return self._claim("profile", "email") or str(jwt_claims(self.id).get("email") or "")

    @property
    def name(self) -> str:
        """Of the account, the same for ever; it tells nobody whose that is."""
        return "acct_" + sha256(f"{self.workspace}\n{self.user}".encode()).hexdigest()[:12]

    def _claim(self, group: str, name: str) -> str:
        for token in (self.access, self.id):
            told: Any = jwt_claims(token).get(CLAIMS + group)
            if isinstance(told, dict) and isinstance(told.get(name), str):
                return str(told[name])
        return ""
