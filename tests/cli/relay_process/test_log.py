import stat
from pathlib import Path

import pytest

from scripts.cli.relay_process import log
from scripts.cli.relay_process.log import begin_log, follow_lines, last_lines, log_path


@pytest.fixture(autouse=True)
def state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(log, "POLL_INTERVAL", 0.001)


def test_each_start_has_a_private_log_of_its_own() -> None:
    for text in ("first", "second", "third"):
        path = begin_log()
        assert path == log_path() and path.read_text() == ""
        path.write_text(text)
    assert begin_log().with_name("relay.log.1").read_text() == "third"
    assert len(list(path.parent.iterdir())) == 2
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("block_size", [1, 3, 65_536])
@pytest.mark.parametrize("end", ["", "\n"])
def test_last_lines_are_those_before_the_end(
    block_size: int, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "BLOCK_SIZE", block_size)
    begin_log().write_text(f"a\n\nb\r\nc{end}")
    with log_path().open(newline="\n") as file:
        assert last_lines(file, 2) == ["b", "c"] and file.read() == ""
        assert last_lines(file, 9) == ["a", "", "b", "c"]
        assert last_lines(file, 0) == []


def test_log_without_lines_has_no_last_ones() -> None:
    with begin_log().open() as file:
        assert last_lines(file, 2) == []


def test_lines_are_followed_until_the_writer_has_ended() -> None:
    writer = begin_log().open("a", buffering=1)
    steps = iter(["b", "c\nd", "\ne"])

    def is_written() -> bool:
        piece = next(steps, None)
        writer.write(piece or "")
        writer.flush()
        return piece is not None

    with writer, log_path().open() as file:
        assert list(follow_lines(file, is_written)) == ["bc", "d", "e"]
