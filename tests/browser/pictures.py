"""Takes the pictures of the pages from a small session in mitmweb. scripts/pictures runs this."""

import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.mitmweb import Mitmweb, Screen, running_browser
from tests.browser.picture_dashboard import picture_dashboard
from tests.codex.driver import ROOT, Codex, Mode
from tests.fake_provider import FakeProvider, running_provider
from tests.replies import DEEPSEEK, Hold, Part, Raw, call, pause, say, think

FOLDER = ROOT / ".github" / "pictures"
MODEL = "deepseek-chat"
# Otherwise the pictures would show what Codex says of this machine.
WITHOUT_MACHINE = ("-c", "include_environment_context=false", "-c", "skills.bundled.enabled=false")
CODE = "def mean(values):\n    return sum(values) / len(values)\n"
PATCH = """\
*** Begin Patch
*** Update File: stats.py
@@
 def mean(values):
-    return sum(values) / len(values)
+    return sum(values) / len(values) if values else 0.0
*** End Patch
"""
PROMPT = "mean([]) raises ZeroDivisionError. It should be 0.0."


def queue_replies(provider: FakeProvider) -> Hold:
    """Queue the model's replies; the last one waits in the middle."""
    hold = Hold()
    provider.models = [MODEL, "deepseek-reasoner"]
    style = replace(DEEPSEEK, usage="none", piece=4)
    replies: list[tuple[tuple[int, int, int], tuple[Part, ...]]] = [
        ((6912, 0, 61), (
            pause(0.4), think("The file first: is the list checked"), pause(0.3),
            think(" anywhere before it is divided by its length?"), pause(0.2),
            say("I look at the function."), pause(0.2), call("exec_command", cmd="cat stats.py"),
        )),
        ((7040, 6912, 118), (
            pause(0.3), think("An empty list divides by zero. One condition is enough."),
            pause(0.4), call("apply_patch", input=PATCH),
        )),
        ((7193, 7040, 74), (
            pause(0.3), call("exec_command",
                             cmd="python3 -c 'import stats; print(stats.mean([]))'"),
        )),
        ((7301, 7168, 57), (
            pause(0.5), think("It prints 0.0, and nothing else has changed."), pause(0.3),
            say("`mean` now returns 0.0 for an empty list"), hold,
            say("; every other list is divided as before."),
        )),
    ]  # fmt: skip
    for (read, cached, wrote), parts in replies:
        provider.reply(*parts, usage_part(MODEL, read, cached, wrote), style=style)
    return hold


def usage_part(model: str, read: int, cached: int, wrote: int) -> Raw:
    """The usage, for a reply of a style that says none."""
    return Raw(
        b'data: {"id": "chatcmpl-fake", "object": "chat.completion.chunk", "created": 1700000000, '
        b'"model": "%s", "choices": [], "usage": {"prompt_tokens": %d, "completion_tokens": %d, '
        b'"total_tokens": %d, "prompt_tokens_details": {"cached_tokens": %d}}}\n\n'
        % (model.encode(), read, wrote, read + wrote, cached)
    )


def take_picture(screen: Screen, name: str, top: str = "") -> None:
    """Save a picture with this line of the view at the top."""
    if top:
        lines = screen.page.locator(".contentview h5, .contentview pre > div")
        lines.filter(has_text=top).first.evaluate("line => line.scrollIntoView()")
    save_picture(screen.page, name)


def save_picture(page: Page, name: str) -> None:
    """Save a picture of the page with 256 colours."""
    picture = Image.open(BytesIO(page.screenshot())).convert("RGB")
    FOLDER.mkdir(parents=True, exist_ok=True)
    picture.quantize(256, dither=Image.Dither.NONE).save(FOLDER / f"{name}.png", optimize=True)


def widen_views(screen: Screen) -> None:
    """Drag the splitter so that the lines of the views fit."""
    screen.client_rows.last.click()
    splitter = screen.page.locator(".splitter")
    splitter.hover()
    screen.page.mouse.down()
    screen.page.mouse.move(460, 400)
    screen.page.mouse.up()


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as path,
        running_provider() as provider,
        running_browser() as browser,
    ):
        folder = Path(path)
        relay = Mitmweb(
            folder, upstream=provider.url, provider="deepseek", api_key=provider.key or ""
        )
        try:
            screen = Screen(browser.new_page(viewport={"width": 1400, "height": 800}), relay)
            play_session(screen, Codex(folder / "codex", Mode.PROXY_CHATGPT, relay), provider)
        finally:
            relay.stop()
        picture_dashboard(browser, lambda page: save_picture(page, "dashboard"))


def play_session(screen: Screen, codex: Codex, provider: FakeProvider) -> None:
    (codex.work / "stats.py").write_text(CODE)
    hold = queue_replies(provider)
    with ThreadPoolExecutor() as pool:
        try:
            run = pool.submit(codex.exec, PROMPT, *WITHOUT_MACHINE, model=MODEL)
            expect(screen.client_rows.locator(".marker")).to_have_text(["✅", "✅", "✅", "⏳"])
            expect(screen.upstream_rows.last.locator(".col-size")).to_contain_text("kb")
            take_picture(screen, "list")
        finally:
            hold.go_on.set()
        assert run.result().exit_code == 0
    expect(screen.client_rows.last.locator(".marker")).to_have_text("✅")
    widen_views(screen)
    screen.view_text(screen.client_rows.last, "Request", "Turn", has=PROMPT)
    take_picture(screen, "turn", top="· user")
    screen.view_text(screen.client_rows.first, "Response", "Stream", has="response.completed")
    take_picture(screen, "stream", top="Stream")
    screen.view_text(screen.client_rows.nth(1), "Request", "Both sides", has=PROMPT)
    take_picture(screen, "both-sides", top="Both sides")


if __name__ == "__main__":
    main()
