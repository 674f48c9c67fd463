"""Codex's own auth.json: read, renewed in place, and imported."""

import json
import logging
import os
import stat
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from addons.accounts import codex_auth_file
from addons.accounts.codex_auth_file import READ_ATTEMPTS, CodexAuthFile, NotALogin, import_login
from addons.accounts.locked_file import LoginStoreUnavailable
from addons.accounts.oauth import LoginEnded
from addons.accounts.tokens import Tokens

SAVED_TOKENS = {
    "id_token": "id-1",
    "access_token": "access-1",
    "refresh_token": "refresh-1",
    "account_id": "ws-1",
    "more": [1],
}
DOCUMENT: dict[str, Any] = {
    "auth_mode": "chatgpt",
    "OPENAI_API_KEY": None,
    "tokens": SAVED_TOKENS,
    "last_refresh": "2026-09-21T12:00:00.123456789Z",
    "unknown": {"kept": True},
}
OLD = Tokens("access-1", "refresh-1", "id-1")
NEWER = Tokens("access-2", "refresh-2", "id-2", 1_790_000_000.5)


def write_document(path: Path, document: object = DOCUMENT) -> Path:
    path.write_text(json.dumps(document))
    path.chmod(0o600)
    return path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_file_is_read_before_each_use(tmp_path: Path) -> None:
    file = CodexAuthFile(write_document(tmp_path / "auth.json"))
    tokens = file.read_tokens()
    assert tokens == replace(OLD, issued_at=tokens.issued_at)
    assert abs(tokens.issued_at - 1_790_000_000) < 10**7
    times = os.stat(file.path)
    write_document(file.path, DOCUMENT | {"tokens": SAVED_TOKENS | {"access_token": "access-2"}})
    os.utime(file.path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert file.read_tokens().access_token == "access-2"


def test_renewed_tokens_leave_everything_else_as_it_is(tmp_path: Path) -> None:
    real = write_document(tmp_path / "real.json")
    link = tmp_path / "auth.json"
    link.symlink_to(real)
    new = Tokens("access-2", "refresh-2", "", 1_790_000_000.25)
    CodexAuthFile(link).save_tokens(OLD, new)
    document = json.loads(real.read_text())
    tokens = SAVED_TOKENS | {"access_token": "access-2", "refresh_token": "refresh-2"}
    last_refresh = "2026-09-21T14:13:20.250000Z"
    assert document == DOCUMENT | {"tokens": tokens, "last_refresh": last_refresh}
    assert list(document) == list(DOCUMENT)
    assert link.is_symlink() and mode(real) == 0o600
    assert CodexAuthFile(link).lock_path == tmp_path / "real.json.lock"


def test_tokens_that_codex_wrote_meanwhile_stay(tmp_path: Path) -> None:
    file = CodexAuthFile(write_document(tmp_path / "auth.json"))
    content = file.path.read_bytes()
    file.save_tokens(replace(OLD, refresh_token="refresh-0"), NEWER)
    assert file.path.read_bytes() == content


def test_ended_login_is_replaced_by_the_next_one(tmp_path: Path) -> None:
    file = CodexAuthFile(write_document(tmp_path / "auth.json"))
    file.mark_ended(OLD, "refresh_token_expired")
    with pytest.raises(LoginEnded, match="refresh_token_expired"):
        file.read_tokens()
    assert file.stored_tokens().refresh_token == "refresh-1"
    file.save_tokens(OLD, NEWER)
    assert file.read_tokens().refresh_token == "refresh-2"


def test_half_written_file_is_read_again(tmp_path: Path) -> None:
    path = write_document(tmp_path / "auth.json")
    content = path.read_text()
    path.write_text(content[:40])
    timer = threading.Timer(0.1, path.write_text, [content])
    timer.start()
    assert CodexAuthFile(path).read_tokens().access_token == "access-1"
    timer.join()


@pytest.mark.parametrize(
    "document", [{}, [], {"OPENAI_API_KEY": "sk-1", "tokens": None}, {"tokens": 1}]
)
def test_file_without_a_login_is_refused_and_stays(tmp_path: Path, document: object) -> None:
    path = write_document(tmp_path / "auth.json", document)
    with pytest.raises(LoginStoreUnavailable, match="codex login") as error:
        CodexAuthFile(path).read_tokens()
    assert "sk-1" not in str(error.value)
    assert json.loads(path.read_text()) == document


def test_missing_file_may_mean_that_codex_uses_the_keyring(tmp_path: Path) -> None:
    with pytest.raises(LoginStoreUnavailable, match="cli_auth_credentials_store"):
        CodexAuthFile(tmp_path / "auth.json").read_tokens()


@pytest.mark.parametrize("odd", ["access\r\nx-evil: 1", "access\ud800", "access 1", "zugänge"])
def test_tokens_that_fit_no_header_are_refused(tmp_path: Path, odd: str) -> None:
    tokens = {"access_token": odd, "refresh_token": "refresh-1", "id_token": "id-1"}
    with pytest.raises(LoginStoreUnavailable, match="no ChatGPT login in it"):
        CodexAuthFile(write_document(tmp_path / "auth.json", {"tokens": tokens})).read_tokens()


def test_import_warns_that_a_refresh_token_is_good_for_one_use(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_document(tmp_path / "auth.json")
    content = path.read_bytes()
    tokens, notice = import_login(str(path))
    assert tokens.refresh_token == "refresh-1" and path.read_bytes() == content
    assert "whichever renews first stays logged in" in notice
    assert f"relay_chatgpt_auth={path}" in notice and "refresh-1" not in notice
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_import_from_the_home_of_an_unknown_user_is_refused() -> None:
    with pytest.raises(NotALogin):
        import_login("~nobody-of-that-name/auth.json")


def test_import_says_the_same_of_all_files_that_are_no_login(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("x")
    (tmp_path / "list").write_text("[1]")
    (tmp_path / "object").write_text("{}")
    (tmp_path / "half").write_text('{"tokens": {"access_token"')
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    names = ("text", "list", "object", "half", "folder", "pipe", "none", "no/file", "text/x", "\0")
    answers, reads = set(), []
    for name in names:
        with pytest.MonkeyPatch.context() as patch, pytest.raises(NotALogin) as caught:
            patch.setattr(codex_auth_file.time, "sleep", reads.append)
            import_login(str(tmp_path / name))
        answers.add(str(caught.value))
    assert len(answers) == 1 and str(tmp_path) not in answers.pop()
    assert len(reads) == READ_ATTEMPTS * len(names)  # all answers take the same time


def test_import_corrects_the_mode_of_auth_files_only(tmp_path: Path) -> None:
    page = tmp_path / "index.html"
    page.write_text("<p>")
    page.chmod(0o644)
    with pytest.raises(NotALogin):
        import_login(str(page))
    assert mode(page) == 0o644
    page.write_text(json.dumps(DOCUMENT))
    import_login(str(page))
    assert mode(page) == 0o600
