"""Accounts as the dashboard is told of them, in the pool's place: no login leads anywhere. As a
script it gives them to the relay that loaded before it: `-s addons/relay.py -s this`."""

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


def account(id: str, email: str, plan: str, **more: Any) -> Json:
    base = {"source": "login", "selected": False, "state": "ready", "reason": None, "until": None}
    rest = {"expires": int(time.time()) + 3600, "in_flight": 0, "quota": None, "credits": None}
    return {"id": id, "email": email, "plan": plan, **base, **rest, **more}


class Table:
    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
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

    def snapshot(self) -> Json:
        told = [dict(one) for one in self.accounts]
        return {
            "accounts": told,
            "strategy": "selected",
            "failover": False,
            "login": self.running,
        }

    async def select(self, id: str) -> None:
        self.find(id)
        for one in self.accounts:
            one["selected"] = one["id"] == id

    async def logout(self, id: str) -> None:
        self.accounts.remove(self.find(id))

    async def login(self, kind: str) -> None:
        if self.running and "error" not in self.running:
            raise ValueError("A login is under way already.")
        url = "https://auth.example/codex/device"
        device = {"user_code": "ABCD-12345", "expires": int(time.time()) + 900}
        self.running = {"kind": kind, "url": url, **(device if kind == "device" else {})}

    async def cancel(self) -> None:
        """For the next test all are there again, too."""
        self.begin()

    def find(self, id: str) -> Json:
        for one in self.accounts:
            if one["id"] == id:
                return one
        raise ValueError(f"There is no account {id!r}.")


def running() -> None:
    addons: Any = ctx.master.addons
    addons.get("dashboard").desk.accounts = Table()
