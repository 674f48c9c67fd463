"""The recorded picture: it fits the page that shows it, and the commands still say what is in it.
`./scripts/recording` records it anew."""

import re
import xml.etree.ElementTree as ElementTree
from base64 import b64decode
from pathlib import Path

from addons.start_report import StartReport, report_lines
from scripts.cli.setup.choices import CODEX_WAYS
from tests.recording.svg import LINE_HEIGHT, page_size

PICTURE = Path(__file__).parents[2] / ".github" / "pictures" / "first-minute.svg"
SVG = PICTURE.read_text("utf-8")
REPORT = StartReport(
    version="",
    address="http://127.0.0.1:8080",
    serves_others=False,
    provider="ollama",
    title="Ollama",
    upstream="http://localhost:11434/v1",
    codex_command="mitmcodex codex",
    dashboard="http://127.0.0.1:8080/relay/",
    model_count=2,
    model="qwen3-coder:30b",
)


def drawn_texts() -> list[str]:
    root = ElementTree.fromstring(SVG)  # noqa: S314 - ours
    return ["".join(element.itertext()) for element in root.iter() if element.tag.endswith("text")]


def test_picture_is_small_short_and_needs_nothing_else() -> None:
    assert len(SVG) < 200_000
    [page] = re.findall(r'href="data:image/png;base64,([^"]+)"', SVG)
    assert len(b64decode(page)) < 60_000
    [seconds] = re.findall(r"play ([\d.]+)s step-end infinite", SVG)
    assert float(seconds) <= 30
    [height] = re.findall(r'^<svg [^>]*height="(\d+)"', SVG)
    assert int(height) <= page_size(24, 80)[1] + 2 * LINE_HEIGHT
    references = re.findall(r'(?:href="|url\()([^")]{0,5})', SVG)
    assert {reference[:1] for reference in references} == {"#", "d"} and "<script" not in SVG


def test_picture_has_no_path_no_key_and_no_fault_of_a_machine() -> None:
    text = "\n".join(drawn_texts())
    assert not re.search(r"/(tmp|root|home|Users)\b|sk-|Traceback|error", text)
    assert set(re.findall(r":(\d{4,5})\b", text)) == {"8080", "11434"}


def test_commands_still_say_what_is_in_the_picture() -> None:
    text = re.sub(r"(?m)^(mitmcodex) \S+ (listens)", r"\1  \2", "\n".join(drawn_texts()))
    for line in report_lines(REPORT):
        assert line.strip() in text
    for way in CODEX_WAYS:
        assert re.search(f"{re.escape(way.title)} +{re.escape(way.note)}", text)
    for command in ("setup", "up --detach", "codex", "open"):
        assert f"$ mitmcodex {command}\n" in text
