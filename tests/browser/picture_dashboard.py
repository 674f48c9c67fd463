"""The dashboard's picture in the pages, with invented totals and a few real exchanges."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
from playwright.sync_api import Browser, Page, expect

from addons.storage.usage_backends import SqliteUsage, UsageKey
from tests import accounts_table
from tests.codex.driver import ROOT, Relay
from tests.fake_provider import running_provider
from tests.replies import DEEPSEEK, error, pause, say, think

TABLE = ("-s", str(Path(accounts_table.__file__).relative_to(ROOT)))
DAYS = 30
MODELS = (("deepseek", "deepseek-chat", 61), ("chatgpt", "gpt-5.5", 37), ("kimi", "kimi-k3", 23))
PATH = "/v1/chat/completions"


def picture_dashboard(browser: Browser, take_picture: Callable[[Page], None]) -> None:
    with tempfile.TemporaryDirectory() as path, running_provider() as provider:
        folder = Path(path)
        write_totals(folder / "kept-usage.db")
        options = {"upstream": provider.url, "api_key": provider.key or "", "provider": "deepseek"}
        relay = Relay(folder / "relay", *TABLE, store=str(folder / "kept.db"), **options)
        try:
            page = browser.new_page(viewport={"width": 1280, "height": 1480})
            page.goto(f"{relay.url}/relay/")
            expect(page.get_by_role("status")).to_have_text("Live")
            for model in ("deepseek-chat", "deepseek-reasoner", "deepseek-chat"):
                provider.reply(think("One moment."), pause(0.3), say("Done."), style=DEEPSEEK)
                send_turn(relay, model)
            provider.reply(error(400, "This model's maximum context length is 65536 tokens."))
            send_turn(relay, "deepseek-chat")
            expect(page.get_by_text("Failed", exact=True).first).to_be_visible()
            take_picture(page)
        finally:
            relay.stop()


def send_turn(relay: Relay, model: str) -> None:
    body = {"model": model, "stream": True, "messages": [{"role": "user", "content": "Hello!"}]}
    httpx2.post(f"{relay.url}{PATH}", json=body, timeout=20, trust_env=False)


def write_totals(path: Path) -> None:
    """Write the totals of a month with less work at weekends."""
    usage = SqliteUsage(path)
    for days_ago in range(DAYS):
        day = time.gmtime(time.time() - days_ago * 86_400)
        for provider, model, pace in MODELS:
            turns = (pace * (7 + days_ago * 5 % 11)) // (12 if day.tm_wday > 4 else 2)
            read, wrote = turns * 9_000.0, turns * 400.0
            cost = 0.0 if provider == "chatgpt" else turns * 0.0021
            row = (turns, turns // 40, read, read * 0.8, wrote, wrote / 3, cost, turns * 0.014, 0)
            usage.add_counts(UsageKey(time.strftime("%Y-%m-%d", day), provider, model), row)
    usage.close()
