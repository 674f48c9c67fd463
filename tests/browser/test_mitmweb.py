"""The relay in mitmweb as a person sees it: a real mitmweb, a real browser, the real Codex."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import pytest
from mitmproxy import io
from mitmproxy.test import tflow
from playwright.sync_api import Browser, Locator, expect

from tests.browser.mitmweb import Mitmweb, Screen
from tests.codex.driver import ACCOUNT, Codex
from tests.fake_provider import FakeProvider
from tests.replies import Hold, call, error, say, think

RUNNING, DONE, FAILED = "⏳", "✅", "🔴"


@pytest.fixture
def session(provider: FakeProvider, codex: Codex) -> None:
    """Two exchanges: the model thinks and runs a command, and then answers."""
    provider.reply(
        think("A file is to be written."),
        say("I write it."),
        call("exec_command", cmd="echo hello > hello.txt; cat hello.txt"),
    )
    provider.reply(say("The file is written."))
    assert codex.exec("Write hello.txt.", model="gpt-5.5").text == "The file is written."


def marker_cell(row: Locator) -> Locator:
    return row.locator(".marker")


def size_cell(row: Locator) -> Locator:
    return row.locator(".col-size")


def test_both_rows_grow_while_the_reply_streams(
    provider: FakeProvider, codex: Codex, screen: Screen
) -> None:
    first, second = Hold(), Hold()
    provider.reply(say("The answer "), first, say("is longer " * 40), second, say("than that."))
    with ThreadPoolExecutor() as pool:
        try:
            running = pool.submit(codex.exec, "How long is the answer?", model="gpt-5.5")
            rows = [screen.client_rows, screen.upstream_rows]
            expect(screen.open_view(screen.client_rows, "Response", "Stream")).to_contain_text(
                "The answer"
            )
            expect(screen.open_view(screen.upstream_rows, "Response", "Turn")).to_contain_text(
                "The answer"
            )
            earlier_sizes = [size_cell(row).inner_text() for row in rows]
            expect(marker_cell(screen.client_rows)).to_have_text(RUNNING)
            first.go_on.set()
            for row, smaller in zip(rows, earlier_sizes, strict=True):
                expect(size_cell(row)).not_to_have_text(smaller)
                expect(row.locator(".col-status")).to_have_text("200")
            expect(screen.open_view(screen.client_rows, "Response")).to_contain_text("is longer")
            expect(marker_cell(screen.client_rows)).to_have_text(RUNNING)
            assert not running.done()
        finally:
            first.go_on.set()
            second.go_on.set()
        assert running.result().text.endswith("than that.")
    expect(marker_cell(screen.client_rows)).to_have_text(DONE)
    expect(screen.open_view(screen.client_rows, "Response")).to_contain_text("than that.")
    expect(screen.upstream_rows).to_have_count(1)


def test_every_view_shows_an_exchange(session: None, screen: Screen) -> None:
    first, second = screen.client_rows.first, screen.client_rows.last
    request_text = screen.view_text(second, "Request", "Turn", has="Output:")
    assert request_text.startswith("gpt-5.5 · streams · ")
    for expected in ("user\nWrite hello.txt.", "sealed by us for gpt-5.5", "call of exec_command"):
        assert expected in request_text
    assert request_text.index("cmd: echo hello") < request_text.index("Output:\nhello")

    streamed = screen.view_text(first, "Response", "Stream", has="response.completed")
    assert "reasoning" in streamed
    assert re.search(r'^\+\d+\.\d\d s +response\.output_text\.delta × \d+  "I write it\."$',
                     streamed, re.M)  # fmt: skip
    assert re.search(r"^\+\d+\.\d\d s .*response\.completed .*120 in", streamed, re.M)

    both = screen.view_text(first, "Request", "Both sides", has="Write hello.txt.")
    assert "Codex asked for gpt-5.5 → generic" in both
    assert re.search(r"^━━ Codex +\d+ · user → generic\S* +\d+ · user", both, re.M), both
    back = screen.view_text(first, "Response", "Both sides", has="response.completed")
    for side in ("generic", "Codex"):
        assert re.search(rf"^{side}\S* +│ \+\d+\.\d\d s ", back, re.M), back

    models = screen.rows_of("GET", "/models").first
    catalog = screen.view_text(models, "Response", "Catalog", has="gpt-5.5")
    assert "fake-model" in catalog


def test_flows_are_found_by_marker_and_comment(
    provider: FakeProvider, codex: Codex, session: None, screen: Screen
) -> None:
    comment = screen.client_rows.first.locator(".col-comment")
    expect(comment).to_contain_text("gpt-5.5 · 120 in (100 cached) · 30 out · TTFT ")
    expect(comment).to_contain_text(" · 1 call · dropped prompt_cache_key")
    screen.client_rows.first.click()
    screen.open_tab("Comment")
    expect(screen.page.locator(".flow-detail")).to_contain_text(comment.inner_text())

    provider.reply(error(400, "no such thing as 'thing'"))
    assert codex.exec("Fail.", model="gpt-5.5").exit_code == 1
    expect(marker_cell(screen.client_rows.last)).to_have_text(FAILED)
    for filter, markers in {
        "~comment '1 call'": [DONE],
        "~comment dropped": [DONE, DONE, FAILED],
        "~marked": [DONE, DONE, FAILED],
        "~marker red_circle": [FAILED],
        "~marker hourglass": [],
    }.items():
        screen.search(filter)
        expect(marker_cell(screen.rows)).to_have_text(markers)
    screen.search("~comment 'upstream leg'")
    expect(screen.rows.locator(".col-path")).to_have_text([provider.url + "/chat/completions"] * 3)


def test_no_secret_reaches_the_page(provider: FakeProvider, codex: Codex, screen: Screen) -> None:
    bodies = screen.record_traffic()
    provider.reply(say("Hello."))
    assert codex.exec("Say hello.", model="gpt-5.5").exit_code == 0
    expect(marker_cell(screen.client_rows)).to_have_text(DONE)
    for row in screen.rows.all():
        for tab in ("Request", "Response", "Connection"):
            row.click()
            screen.open_tab(tab)
            expect(screen.page.locator(".flow-detail nav .active")).to_have_text(tab)
    screen.open_menu("Options")
    screen.page.get_by_text("Edit Options").click()
    expect(screen.page.locator("input[name=relay_api_key]")).to_have_value("(hidden)")

    received = b"".join(bodies).decode("utf-8", "replace")
    for expected in ("Say hello.", "Bearer (hidden)", "chatgpt-account-id", "relay_api_key"):
        assert expected in received
    tokens = json.loads((codex.home / "auth.json").read_text())["tokens"]
    for secret in (provider.key, ACCOUNT, tokens["access_token"], tokens["id_token"]):
        assert secret not in received


def test_replay_is_declined_and_resend_works(
    provider: FakeProvider, session: None, screen: Screen
) -> None:
    row = screen.client_rows.first
    row.click()
    screen.open_menu("Flow")
    screen.page.get_by_role("button", name="Replay").click()
    expect(row.locator(".col-status")).to_have_text("409")
    words = screen.open_view(row, "Response")
    expect(words).to_contain_text("relay.resend @")
    command = re.search(r"relay\.resend @[0-9a-f-]+", words.inner_text())
    assert command
    assert len(provider.posted_requests) == 2

    screen.page.get_by_role("button", name="Revert").click()
    expect(row.locator(".col-status")).to_have_text("200")
    expect(screen.open_view(row, "Response")).to_contain_text("I write it.")

    screen.run_command(command[0].replace("resend", "diff"))
    expect(screen.page.get_by_text("no difference")).to_be_visible()
    provider.reply(say("Once more."))
    screen.run_command(command[0])
    expect(screen.client_rows).to_have_count(3)
    expect(marker_cell(screen.client_rows.last)).to_have_text(DONE)
    expect(screen.client_rows.last.locator(".col-comment")).to_contain_text("resent from ")


MARKUP = "<img src=x onerror=document.title='harmed'><script>document.title='harmed'</script>"


def poisoned_capture(file: Path) -> None:
    """An exchange of which every text is markup."""
    flows = [tflow.tflow(resp=True), tflow.tflow(resp=True)]
    record = {name: MARKUP for name in ("asked", "provider", "model", "status", "error", "reason")}
    facts = {**record, "dropped": [MARKUP], "notes": [MARKUP], "calls": 1, "seconds": 1.0}
    body = {"model": MARKUP, "tools": [{"name": MARKUP, "type": MARKUP}], "input": MARKUP}
    reply = {"model": MARKUP, "choices": [{"delta": {"content": MARKUP}, "finish_reason": MARKUP}]}
    with file.open("wb") as capture:
        writer = io.FlowWriter(capture)
        for flow, other, side in zip(flows, flows[::-1], ("client", "upstream"), strict=True):
            flow.metadata = {"relay.leg": side, "relay.other": other.id, "relay.facts": facts}
            flow.comment, flow.marked = MARKUP, ":red_circle:"
            flow.request.path = f"/v1/responses?{MARKUP}"
            flow.request.headers[MARKUP.replace(" ", "")] = MARKUP
            flow.request.text = json.dumps(body)
            assert flow.response
            flow.response.reason = flow.response.headers["content-type"] = MARKUP
            flow.response.content = f"data: {json.dumps(reply)}\n\ndata: {MARKUP}\n\n".encode()
            writer.add(flow)


def test_markup_in_a_capture_stays_text(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "poisoned"
    poisoned_capture(file)
    relay = Mitmweb(tmp_path / "relay", "-r", str(file), upstream="http://127.0.0.1:9/v1")
    try:
        with browser.new_page(viewport={"width": 1400, "height": 800}) as page:
            screen = Screen(page, relay)
            rows = screen.rows.filter(has_text="onerror")
            expect(rows).to_have_count(2)
            for tab, view in product(("Request", "Response"), ("Turn", "Stream", "Both sides")):
                assert "<img src=x" in screen.view_text(rows.first, tab, view, has="<img")
            for tab in ("Comment", "Connection"):
                screen.open_tab(tab)
            assert "harmed" not in page.title()
            assert page.locator("img[src='x']").count() == 0
    finally:
        relay.stop()
    assert "Traceback" not in relay.log
