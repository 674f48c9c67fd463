"""Invented accounts for the dashboard, in place of the account pool; no login reaches a service. As
a second script of mitmproxy it gives them to the relay: `-s addons/relay.py -s this`."""

import time
from typing import Any

from mitmproxy import ctx

Json = dict[str, Any]


def quota(primary: float, secondary: float) -> Json:
    now = int(time.time())
    return {
        "primary": {"used_percent": primary, "window_minutes": 300, "resets_at": now + 7980},
        "secondary": {
            "used_percent": secondary,
            "window_minutes": 10080,
            "resets_at": now + 4 * 86400,
        },
        "at": now,
    }


def account(id: str, email: str, plan: str, **fields: Any) -> Json:
    base = {"source": "login", "selected": False, "state": "ready", "reason": None, "until": None}
    rest = {"expires": int(time.time()) + 3600, "in_flight": 0, "quota": None, "credits": None}
    return {"id": id, "email": email, "plan": plan, **base, **rest, **fields}


class AccountTable:
    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        soon = int(time.time()) + 5400
        self.accounts = [
            account("acct_1", "ada@example.com", "plus", selected=True, quota=quota(12, 41)),
            account(
                "acct_2", "grace@example.com", "pro", source="codex", state="limited",
                reason="usage_limit_reached", until=soon, quota=quota(100, 76), in_flight=0,
            ),
            account("acct_3", "old@example.com", "team", state="dead",
                    reason="refresh_token_reused"),
        ]  # fmt: skip
        self.running: Json | None = None

    def accounts_snapshot(self) -> Json:
        return {
            "accounts": [dict(entry) for entry in self.accounts],
            "strategy": "selected",
            "failover": False,
            "login": self.running,
        }

    async def select_account(self, account_id: str) -> None:
        self.find(account_id)
        for entry in self.accounts:
            entry["selected"] = entry["id"] == account_id

    async def log_out(self, account_id: str) -> None:
        self.accounts.remove(self.find(account_id))

    async def start_login(self, kind: str) -> None:
        if self.running and "error" not in self.running:
            raise ValueError("A login is under way already.")
        url = "https://auth.example/codex/device"
        device = {"user_code": "ABCD-12345", "expires": int(time.time()) + 900}
        self.running = {"kind": kind, "url": url, **(device if kind == "device" else {})}

    async def cancel_login(self) -> None:
        """Also bring all accounts back, for the next test."""
        self.reset()

    def find(self, id: str) -> Json:
        for entry in self.accounts:
            if entry["id"] == id:
                return entry
        raise ValueError(f"There is no account {id!r}.")


def running() -> None:
    addons: Any = ctx.master.addons
    addons.get("dashboard").dashboard_state.accounts = AccountTable()
