"""Takes the pictures of README.md anew, of a little session in mitmweb: run by scripts/pictures."""

import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.mitmweb import Mitmweb, Screen, browsing
from tests.browser.picture_dashboard import photograph
from tests.codex.driver import ROOT, Codex, Mode
from tests.fake_provider import FakeProvider, running
from tests.replies import DEEPSEEK, Hold, Part, Raw, call, pause, say, think

FOLDER = ROOT / ".github" / "pictures"
MODEL = "deepseek-chat"
# What Codex tells of the machine that it runs on would be on the pictures.
DISCREET = ("-c", "include_environment_context=false", "-c", "skills.bundled.enabled=false")
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
ASKED = "mean([]) raises ZeroDivisionError. It should be 0.0."


def script(provider: FakeProvider) -> Hold:
    """What the model does; the last reply waits in its middle."""
    hold = Hold()
    provider.models = [MODEL, "deepseek-reasoner"]
    style = replace(DEEPSEEK, usage="none", piece=4)
    turns: list[tuple[tuple[int, int, int], tuple[Part, ...]]] = [
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
    for (read, cached, wrote), parts in turns:
        provider.reply(*parts, Raw(usage(read, cached, wrote)), style=style)
    return hold


def usage(read: int, cached: int, wrote: int) -> bytes:
    return (
        b'data: {"id": "chatcmpl-fake", "object": "chat.completion.chunk", "created": 1700000000, '
        b'"model": "%s", "choices": [], "usage": {"prompt_tokens": %d, "completion_tokens": %d, '
        b'"total_tokens": %d, "prompt_tokens_details": {"cached_tokens": %d}}}\n\n'
        % (MODEL.encode(), read, wrote, read + wrote, cached)
    )


def take(screen: Screen, name: str, top: str = "") -> None:
    """A picture with this line of the view at the top."""
    if top:
        lines = screen.page.locator(".contentview h5, .contentview pre > div")
        lines.filter(has_text=top).first.evaluate("line => line.scrollIntoView()")
    save(screen.page, name)


def save(page: Page, name: str) -> None:
    """In few colours."""
    seen = Image.open(BytesIO(page.screenshot())).convert("RGB")
    FOLDER.mkdir(parents=True, exist_ok=True)
    seen.quantize(256, dither=Image.Dither.NONE).save(FOLDER / f"{name}.png", optimize=True)


def widen(screen: Screen) -> None:
    """Gives the views the room that their lines need."""
    screen.clients.last.click()
    splitter = screen.page.locator(".splitter")
    splitter.hover()
    screen.page.mouse.down()
    screen.page.mouse.move(460, 400)
    screen.page.mouse.up()


def main() -> None:
    with tempfile.TemporaryDirectory() as place, running() as provider, browsing() as browser:
        folder = Path(place)
        relay = Mitmweb(
            folder, upstream=provider.url, provider="deepseek", api_key=provider.key or ""
        )
        try:
            screen = Screen(browser.new_page(viewport={"width": 1400, "height": 800}), relay)
            session(screen, Codex(folder / "codex", Mode.PROXY_CHATGPT, relay), provider)
        finally:
            relay.stop()
        photograph(browser, lambda page: save(page, "dashboard"))


def session(screen: Screen, codex: Codex, provider: FakeProvider) -> None:
    (codex.work / "stats.py").write_text(CODE)
    hold = script(provider)
    with ThreadPoolExecutor() as pool:
        try:
            run = pool.submit(codex.exec, ASKED, *DISCREET, model=MODEL)
            expect(screen.clients.locator(".marker")).to_have_text(["✅", "✅", "✅", "⏳"])
            expect(screen.legs.last.locator(".col-size")).to_contain_text("kb")
            take(screen, "list")
        finally:
            hold.go_on.set()
        assert run.result().exit_code == 0
    expect(screen.clients.last.locator(".marker")).to_have_text("✅")
    widen(screen)
    screen.text(screen.clients.last, "Request", "Turn", has=ASKED)
    take(screen, "turn", top="· user")
    screen.text(screen.clients.first, "Response", "Stream", has="response.completed")
    take(screen, "stream", top="Stream")
    screen.text(screen.clients.nth(1), "Request", "Both sides", has=ASKED)
    take(screen, "both-sides", top="Both sides")


if __name__ == "__main__":
    main()
