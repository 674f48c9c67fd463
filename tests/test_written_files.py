"""Every file that a real relay writes, as it does all that writes files: they are private with the
most careless umask, and with relay_private=on there are none."""

import base64
import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from addons.launch import RelayProcess, start
from tests.fake_provider import FakeProvider
from tests.replies import error, say, think

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes mean nothing here")

PROMPT, ANSWER, REFUSAL = "the-words-of-a-person", "the-words-of-a-model", "the-words-of-an-error"
CLAIMS = {"https://api.openai.com/auth": {"chatgpt_account_id": "acct-1"}, "exp": 4_000_000_000}


@contextmanager
def started_relay(
    folder: Path, provider: FakeProvider, arguments: tuple[str, ...] = (), **settings: Any
) -> Iterator[RelayProcess]:
    """A relay with umask 0, which has its home and all its files in `folder`."""
    home, confdir = folder / "home", folder / "mitmproxy"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("XDG_")},
        "HOME": str(home),
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
    }
    home.mkdir(0o700, exist_ok=True)
    old = os.umask(0)
    try:
        relay = start(
            log=folder / "relay.log",
            environment=environment,
            arguments=("--set", f"confdir={confdir}", *arguments),
            upstream=provider.url,
            api_key=provider.key,
            record="~/made/corpus",
            **{"chatgpt_base": "http://127.0.0.1:9", **settings},
        )
    finally:
        os.umask(old)
    with relay:
        yield relay


def post(relay: RelayProcess, path: str, body: Mapping[str, Any]) -> httpx2.Response:
    with httpx2.Client(trust_env=False, timeout=20) as client:
        return client.post(f"http://127.0.0.1:{relay.port}{path}", json=body)


def take_turns(relay: RelayProcess, provider: FakeProvider) -> None:
    """A stored response, one that continues it, a Chat turn that thinks, and a refusal."""
    for fields in ({"stream": True}, {"stream": False}):
        provider.reply(say(ANSWER))
        reply = post(relay, "/v1/responses", {"model": "m", "input": PROMPT, **fields})
        assert reply.status_code == 200 and ANSWER in reply.text
    messages = [{"role": "user", "content": PROMPT}]
    provider.reply(think("Hm."), say(ANSWER))
    reply = post(relay, "/v1/chat/completions", {"model": "m", "messages": messages})
    assert reply.status_code == 200
    provider.reply(error(422, REFUSAL))
    reply = post(relay, "/v1/chat/completions", {"model": "m", "messages": messages})
    assert reply.status_code == 422 and REFUSAL in reply.text


def import_a_login(relay: RelayProcess, folder: Path) -> None:
    token = ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
        for part in ({"alg": "none"}, CLAIMS, "x")
    )
    tokens = {"access_token": token, "refresh_token": "refresh-1", "id_token": token}
    file = folder / "auth.json"
    file.write_text(json.dumps({"tokens": tokens}))
    reply = post(relay, "/auth/import", {"path": str(file)})
    assert reply.status_code == 200, reply.text


def modes_below(folder: Path) -> dict[str, int]:
    paths = [folder, *folder.rglob("*")]
    return {str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode) for path in paths}


def test_every_file_is_private_with_any_umask(tmp_path: Path, provider: FakeProvider) -> None:
    with started_relay(tmp_path, provider) as relay:
        take_turns(relay, provider)
        import_a_login(relay, tmp_path)
        with httpx2.Client(trust_env=False) as client:  # the totals are written by then
            client.get(f"http://127.0.0.1:{relay.port}/relay/data").raise_for_status()
        running = modes_below(tmp_path / "home")
    ended = modes_below(tmp_path / "home")
    names = {Path(name).name for name in running | ended}
    assert {"responses.db", "responses.db-wal", "usage.db", "usage.db-wal"} <= names
    assert {"accounts.json", "accounts.json.lock", "corpus"} <= names
    for name, mode in (running | ended).items():
        is_folder = (tmp_path / "home" / name).is_dir()
        assert mode == (0o700 if is_folder else 0o600), name
    assert stat.S_IMODE((tmp_path / "relay.log").stat().st_mode) == 0o600


def test_private_relay_writes_nothing(tmp_path: Path, provider: FakeProvider) -> None:
    with started_relay(tmp_path, provider, private=True, store="~/made/kept.db") as relay:
        take_turns(relay, provider)
        with httpx2.Client(trust_env=False) as client:
            page = client.get(f"http://127.0.0.1:{relay.port}/relay/data").json()
        assert page["totals"]["lasting"] is False and page["totals"]["rows"]
        refused = post(
            relay, "/v1/responses", {"model": "m", "input": "x", "previous_response_id": "resp_1"}
        )
        assert refused.status_code == 400
        assert list(modes_below(tmp_path / "home")) == ["."]
        import_a_login(relay, tmp_path)  # the user's own act
    kept = {Path(name).name for name in modes_below(tmp_path / "home")}
    assert {name for name in kept if "." in name[1:]} == {"accounts.json", "accounts.json.lock"}
    log = (tmp_path / "relay.log").read_text()
    assert log.count("m → m · ") >= 4  # the lines of the exchanges, without contents
    for words in (PROMPT, ANSWER, REFUSAL):
        assert words not in log
