"""Lines in a real config.toml: files, links, modes, and the record that makes the undo exact."""

from pathlib import Path

import pytest

from addons.codex_blocks import base_url_block, provider_block
from scripts.cli.codex_config.changes import undo_block, write_block
from scripts.cli.codex_config.home import remove_config, replace_config
from scripts.cli.codex_config.record import all_records, load_record
from scripts.cli.errors import CommandFailed

BLOCK = provider_block("http://127.0.0.1:8080", "deepseek-chat")
TEXT = '# mine\nmodel = "gpt-5.5"\n\n[tui]\ntheme = "dark"'


@pytest.fixture(autouse=True)
def data_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "codex" / "config.toml"
    path.parent.mkdir()
    path.write_text(TEXT)
    return path


def test_write_keeps_a_private_backup_and_undo_is_exact(config: Path, data_home: Path) -> None:
    config.chmod(0o644)
    record = write_block(config, BLOCK)
    assert record and record.backup.read_text() == TEXT
    assert record.backup.stat().st_mode & 0o777 == 0o600
    assert config.stat().st_mode & 0o777 == 0o644
    assert write_block(config, BLOCK) is None, "it is there already"
    assert undo_block(config) and config.read_text() == TEXT
    assert not undo_block(config) and not list(data_home.rglob("*.toml"))
    assert list(all_records()) == []


def test_other_block_takes_the_place_of_the_first_and_undo_goes_back_to_the_start(
    config: Path,
) -> None:
    write_block(config, BLOCK)
    config.write_text(config.read_text() + "\n[features]\nplugins = false\n")
    write_block(config, base_url_block("http://127.0.0.1:4446"))
    assert "127.0.0.1:4446" in config.read_text() and "8080" not in config.read_text()
    assert undo_block(config)
    assert config.read_text() == TEXT + "\n\n[features]\nplugins = false\n"


def test_file_and_folders_that_did_not_exist_go_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "home" / "config.toml"
    write_block(path, BLOCK)
    assert path.stat().st_mode & 0o777 == 0o600
    assert undo_block(path) and not (tmp_path / "new").exists()
    write_block(path, BLOCK)
    path.write_text(path.read_text() + '[projects."/x"]\ntrust_level = "trusted"\n')
    assert undo_block(path)
    assert path.read_text() == '[projects."/x"]\ntrust_level = "trusted"\n'


def test_link_stays_one_and_its_target_is_written(config: Path, tmp_path: Path) -> None:
    link = tmp_path / "linked.toml"
    link.symlink_to(config)
    write_block(link, BLOCK)
    assert link.is_symlink() and "model_providers.relay" in config.read_text()
    assert undo_block(link) and config.read_text() == TEXT and link.is_symlink()


def test_link_to_a_file_that_did_not_exist_stays_and_the_file_goes(tmp_path: Path) -> None:
    link = tmp_path / "config.toml"
    link.symlink_to(tmp_path / "dotfiles" / "codex.toml")
    write_block(link, BLOCK)
    assert "model_providers.relay" in link.read_text()
    assert undo_block(link) and link.is_symlink() and not (tmp_path / "dotfiles").exists()


def test_byte_order_mark_stays_the_first_character(config: Path) -> None:
    """Codex accepts one (0.163, 0.169); some editors on Windows write it."""
    config.write_text("\ufeff" + TEXT)
    write_block(config, BLOCK)
    assert config.read_bytes()[:4] == b"\xef\xbb\xbf#" and "\ufeff" not in config.read_text()[1:]
    assert undo_block(config) and config.read_text() == "\ufeff" + TEXT


def test_file_that_another_program_has_just_changed_is_not_overwritten(config: Path) -> None:
    config.write_text("model = 'newer'\n")
    with pytest.raises(CommandFailed, match="changed by another program"):
        replace_config(config, "model = 'ours'\n", TEXT)
    with pytest.raises(CommandFailed, match="changed by another program"):
        remove_config(config, TEXT)
    assert [path.name for path in config.parent.iterdir()] == ["config.toml"]
    assert config.read_text() == "model = 'newer'\n"


def test_undo_of_a_new_file_does_not_bring_back_an_older_one(config: Path) -> None:
    write_block(config, BLOCK)
    config.unlink()
    write_block(config, BLOCK)
    assert undo_block(config) and not config.exists()


def test_changed_lines_are_shown_and_nothing_is_touched(config: Path) -> None:
    record = write_block(config, BLOCK)
    changed = config.read_text().replace("8080/v1/models", "9999/v1/models")
    config.write_text(changed)
    with pytest.raises(CommandFailed) as failure:
        undo_block(config)
    assert 'model_provider = "relay"' in failure.value.message
    assert record and str(record.backup) in failure.value.next_step
    assert config.read_text() == changed and load_record(config)
    config.write_text(TEXT)  # as the user goes back by hand
    assert undo_block(config) and config.read_text() == TEXT


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"model = ", "it is not valid TOML"),
        (b'model = "\xff"', "it is not UTF-8"),
        (b'profile = "w"\n[profiles.w]\nmodel_provider = "azure"\n', "profile 'w'"),
    ],
)
def test_file_that_cannot_be_edited_is_refused_in_words(
    config: Path, text: bytes, reason: str
) -> None:
    config.write_bytes(text)
    with pytest.raises(CommandFailed, match=reason) as failure:
        write_block(config, BLOCK)
    assert config.read_bytes() == text and failure.value.next_step
    assert list(all_records()) == []


def test_read_only_file_is_refused_and_leaves_no_record(config: Path) -> None:
    config.chmod(0o444)
    with pytest.raises(CommandFailed, match="is read-only"):
        write_block(config, BLOCK)
    assert config.read_text() == TEXT and list(all_records()) == []


def test_deleted_file_needs_no_undo(config: Path) -> None:
    write_block(config, BLOCK)
    config.unlink()
    assert undo_block(config) and not config.exists() and not load_record(config)
