"""The settings of ChatGPT accounts; `addons/config/settings.py` has all others and reads them."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from addons.config.option_types import Url

Strategy = Literal["selected", "least_used", "round_robin", "sticky"]


class Accounts(BaseModel):
    chatgpt_base: Url = Field(
        "https://chatgpt.com/backend-api",
        description="Base URL of the service behind ChatGPT accounts.",
        examples=["https://chatgpt.com/backend-api"],
    )
    chatgpt_issuer: Url = Field(
        "https://auth.openai.com",
        description="Where ChatGPT accounts log in.",
        examples=["https://auth.openai.com"],
    )
    chatgpt_auth: str = Field(
        "",
        description="A Codex `auth.json`, whose login is used and renewed in place.",
        examples=["~/.codex/auth.json"],
    )
    vault: str = Field(
        "",
        description="File for the logins made here; else the system's keyring, or a file in the "
        "user's data folder where there is none.",
        examples=["~/.codex-relay.vault"],
    )
    account: str = Field(
        "",
        description="The account that serves, by its id or e-mail; else the one chosen on the "
        "dashboard, or the first.",
        examples=["me@example.com"],
    )
    account_strategy: Strategy = Field(
        "selected",
        description="Which of several accounts serves: `selected`, `least_used`, `round_robin` or "
        "`sticky` (one for each conversation).",
        examples=["least_used"],
    )
    account_failover: bool = Field(
        False,
        description="Whether another account serves where one is out of quota.",
        examples=["on"],
    )
    account_limit: Annotated[int, Field(ge=1, le=100)] = Field(
        4, description="Requests that one account serves at a time.", examples=["3"]
    )
    instructions: str = Field(
        "",
        description="Instructions for an account's model where a client gives none; else a line "
        "of ours.",
        examples=["You are a careful engineer."],
    )
