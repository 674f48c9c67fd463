"""Records the first minute with mitmcodex: real commands, the real Codex and the real page. Only
the model is invented: tests/fake_provider.py stands where Ollama listens.

`python -m tests.recording` writes .github/pictures/first-minute.svg; look at the result."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import expect

from addons.port_holder import bind_fault
from tests.browser.mitmweb import running_browser
from tests.browser.pictures import usage_part
from tests.codex.driver import CODEX, QUIET_CONFIG, base_environment
from tests.fake_provider import FakeProvider, ReceivedRequest
from tests.newest_codex import newest_codex_path
from tests.recording.screens import RecordedTerminal
from tests.recording.svg import Frame, animated_svg, page_size
from tests.replies import OLLAMA, Part, call, pause, say, think

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / ".github" / "pictures" / "first-minute.svg"
DESCRIPTION = "mitmcodex setup, then Codex at work through the relay, then the relay's page"
SIZE = (24, 88)  # rows, columns
ANSWER_PAUSE, PAGE_PAUSE = 2.0, 4.0  # s
PAGE_SCALE = 1.4  # pixels of the page for one of the picture
RELAY_PORT, OLLAMA_PORT = 8080, 11434
PAGE = f"http://127.0.0.1:{RELAY_PORT}/relay/"
MODELS = ["qwen3-coder:30b", "gpt-oss:20b"]
# Codex warns of systems on which its sandbox lacks a program.
SANDBOX_CONFIG = 'sandbox_mode = "danger-full-access"\napproval_policy = "on-request"\n'
CODE = "def mean(values):\n    return sum(values) / len(values)\n"
PROMPT = "why does mean([]) fail?"
ANSWER = """\
`mean([])` divides by zero:

- `sum([])` is 0, and so is `len([])`
- `0 / 0` raises ZeroDivisionError

`return sum(values) / len(values) if values else 0.0` gives 0.0 instead."""
ANSWER_END = "gives 0.0 instead."


@contextmanager
def running_ollama() -> Iterator[None]:
    """The invented model, which looks at the file and answers."""
    provider = FakeProvider(port=OLLAMA_PORT)
    provider.key, provider.models, provider.style = None, MODELS, replace(OLLAMA, usage="none")
    title = say('{"title": "Explain mean([])"}')
    look = (think("The function first."), pause(0.4), call("exec_command", cmd="cat mean.py"))
    provider.reply(title, usage_part(MODELS[0], 312, 0, 9), when=is_title)
    provider.reply(
        pause(0.5), *look, usage_part(MODELS[0], 6912, 0, 61), when=lambda sent: not is_title(sent)
    )
    provider.reply(
        pause(0.6),
        *slow_words(ANSWER),
        usage_part(MODELS[0], 7040, 6912, 118),
        when=lambda sent: bool(sent.outputs),
    )
    try:
        yield
        provider.verify()
    finally:
        provider.close()


def is_title(request: ReceivedRequest) -> bool:
    """Whether Codex wants a title for the session, which it does beside the first turn."""
    return "response_format" in request.body


def slow_words(text: str) -> Iterator[Part]:
    for word in text.split(" "):
        yield say(f"{word} ")
        yield pause(0.04)


def user_environment(home: Path) -> dict[str, str]:
    """A user who has just installed Codex and mitmcodex, and whose browser opens at once."""
    programs, work, temporary = home / "bin", home / "hello", home / "tmp"
    for path in (home / ".codex", work, programs, temporary):
        path.mkdir(parents=True)
    (home / ".codex" / "config.toml").write_text(SANDBOX_CONFIG + QUIET_CONFIG)
    (home / ".codex" / "auth.json").write_text('{"OPENAI_API_KEY": "sk-none"}')
    (work / "mean.py").write_text(CODE)
    (programs / "codex").symlink_to(newest_codex_path() or CODEX)
    command = programs / "mitmcodex"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} {ROOT}/scripts/package "$@"\n')
    command.chmod(0o755)
    environment = base_environment(home) | {"PS1": "$ ", "TERM": "xterm-256color"}
    path = f"{programs}:{environment['PATH']}"
    return environment | {"BROWSER": "true", "PATH": path, "TMPDIR": str(temporary)}


def act_session(terminal: RecordedTerminal) -> None:
    """What the person at the terminal does, up to the page."""
    terminal.wait_for("$")
    terminal.type_slowly("mitmcodex setup")
    terminal.wait_for("Number or name", 40)
    terminal.watch(1.0)
    for question in ("Which model", "How will you start Codex?", "Write it?"):
        terminal.type_slowly()
        terminal.wait_for(question)
        terminal.watch(0.8)
    terminal.type_slowly()
    terminal.wait_for("Next:")
    terminal.watch(1.0)
    terminal.type_slowly("mitmcodex up --detach")
    terminal.wait_for("ends it.", 40)
    terminal.watch(1.2)
    terminal.type_slowly("mitmcodex codex")
    terminal.wait_for("To get started", 40)
    terminal.watch(1.0)
    terminal.type_slowly(PROMPT)
    terminal.wait_for(ANSWER_END, 40)
    terminal.watch(1.2)
    terminal.type_slowly("/quit")
    terminal.wait_for("resume", 20)
    terminal.watch(0.6)
    terminal.type_slowly("mitmcodex open")
    terminal.wait_for(PAGE, 20)
    terminal.watch(0.6)


def take_page() -> bytes:
    """The dashboard as a PNG of 128 colours."""
    width, height = page_size(*SIZE)
    viewport = {"width": round(width * PAGE_SCALE), "height": round(height * PAGE_SCALE)}
    with (
        running_browser() as browser,
        browser.new_page(viewport=viewport, reduced_motion="reduce") as page,
    ):
        page.goto(PAGE)
        expect(page.get_by_role("status")).to_have_text("Live")
        page.get_by_role("link", name="Exchanges").click()
        picture = Image.open(BytesIO(page.screenshot())).convert("RGB")
    file = BytesIO()
    picture.quantize(128, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return file.getvalue()


def record_session(home: Path) -> list[Frame]:
    environment = user_environment(home)
    shell = ["bash", "--noprofile", "--norc", "-i"]
    terminal = RecordedTerminal(shell, environment, home / "hello", SIZE)
    try:
        act_session(terminal)
        return [*terminal.frames(), Frame(PAGE_PAUSE, page=take_page(), title=PAGE)]
    finally:
        terminal.close()
        down = [str(home / "bin" / "mitmcodex"), "down"]
        subprocess.run(down, env=environment, capture_output=True, timeout=20)


def main() -> None:
    for port in (RELAY_PORT, OLLAMA_PORT):
        if bind_fault("127.0.0.1", port):
            sys.exit(f"Port {port} is taken: end what listens there, and record again.")
    with tempfile.TemporaryDirectory(prefix="recording-") as folder, running_ollama():
        frames = record_session(Path(folder))
    answers = [number for number, frame in enumerate(frames) if ANSWER_END in frame.text]
    still = max(answers, key=lambda number: frames[number].seconds)
    frames[still] = replace(frames[still], seconds=ANSWER_PAUSE)
    PICTURE.write_text(animated_svg(frames, DESCRIPTION, still), "utf-8")
    seconds = sum(frame.seconds for frame in frames)
    print(
        f"{PICTURE}: {seconds:.0f} s, {len(frames)} frames, {len(PICTURE.read_bytes()) // 1000} kB"
    )


if __name__ == "__main__":
    main()
