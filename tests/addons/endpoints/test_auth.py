"""Accounts over HTTP: who is logged in, and how one comes and goes."""

import asyncio
import json
from pathlib import Path

import pytest

from addons.accounts import addon, oauth
from addons.launch import bindable
from tests.addons.gateway import gateway
from tests.addons.proxy import Answer, Client, bounded
from tests.fake_auth import browse, person
from tests.translate.support import Json

ADA, BOB = person("ada"), person("bob")


@pytest.fixture(autouse=True)
def free_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oauth, "PORT", bindable(0))


def told(answer: Answer) -> Json:
    made: Json = json.loads(answer.body)
    return made


def mails(answer: Answer) -> list[str]:
    return [account["email"] for account in told(answer)["accounts"]]


@bounded
async def test_accounts_are_told_without_their_secrets(tmp_path: Path) -> None:
    async with gateway(tmp_path, ADA, BOB) as relay:
        answer = await relay.get("/auth/accounts")
        tokens = [*relay.auth.access]
    assert mails(answer) == [ADA.email, BOB.email]
    assert not any(secret in answer.body.decode() for secret in (*tokens, ADA.workspace))


@bounded
async def test_a_browser_is_sent_to_the_login_and_comes_back(tmp_path: Path) -> None:
    async with gateway(tmp_path) as relay:
        relay.auth.port = oauth.PORT
        answer = await relay.get("/auth/login", sec_fetch_site="none")
        assert answer.status == 302
        page = await browse(answer.headers["location"])
        assert page.status_code == 200
        assert mails(await relay.get("/auth/accounts")) == [relay.auth.user.email]


@bounded
async def test_a_device_gets_a_code(tmp_path: Path) -> None:
    async with gateway(tmp_path) as relay:
        begun = told(await relay.get("/auth/login?device=true"))
        assert told(await relay.get("/auth/accounts"))["login"] == begun
        relay.auth.approve(begun["user_code"])
        async with asyncio.timeout(5):
            while not addon.known():
                await asyncio.sleep(0.02)
        assert told(await relay.get("/auth/accounts"))["login"] is None


@bounded
async def test_no_other_sites_page_begins_a_login(tmp_path: Path) -> None:
    async with gateway(tmp_path) as relay:
        answer = await relay.get("/auth/login", sec_fetch_site="cross-site")
        assert answer.status == 403 and addon.login().state() is None


@bounded
async def test_a_port_that_is_taken_is_named_with_the_cure(tmp_path: Path) -> None:
    async with gateway(tmp_path) as relay:
        server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", oauth.PORT)
        answer = await relay.get("/auth/login")
        server.close()
    assert answer.status == 409
    assert str(oauth.PORT) in told(answer)["error"]["message"]
    assert "device" in told(answer)["error"]["message"]


@bounded
async def test_select_and_logout(tmp_path: Path) -> None:
    async with gateway(tmp_path, ADA, BOB) as relay:
        one, two = (
            account["id"] for account in told(await relay.get("/auth/accounts"))["accounts"]
        )
        selected = told(await relay.post("/auth/select", {"id": two}))["accounts"]
        assert [account["selected"] for account in selected] == [False, True]
        assert mails(await relay.post("/auth/logout", {"id": one})) == [BOB.email]
        missing = await relay.post("/auth/logout", {"id": one})
        wrong = await relay.post("/auth/select", {"id": 5})
    assert (missing.status, wrong.status) == (404, 400)
    assert told(wrong)["error"]["param"] == "id"


@bounded
async def test_codexs_login_is_copied(tmp_path: Path) -> None:
    path = tmp_path / "auth.json"
    async with gateway(tmp_path) as relay:
        tokens = relay.auth.give(ADA)
        path.write_text(json.dumps({"tokens": {
            "access_token": tokens.access, "refresh_token": tokens.refresh, "id_token": tokens.id,
        }}))  # fmt: skip
        answer = await relay.post("/auth/import", {"path": str(path)})
        missing = await relay.post("/auth/import", {"path": str(tmp_path / "none")})
    assert mails(answer) == [ADA.email] and "share one refresh token" in told(answer)["note"]
    assert missing.status == 503 and "codex login" in told(missing)["error"]["message"]


@bounded
async def test_all_of_it_wants_the_client_key(tmp_path: Path) -> None:
    async with gateway(tmp_path, ADA, relay_client_key="laptop:k-1") as relay:
        for path in ("/auth/accounts", "/auth/login", "/debug/identity"):
            assert (await relay.get(path)).status == 401
        assert (await relay.get("/auth/accounts", authorization="Bearer k-1")).status == 200


@bounded
async def test_a_foreign_page_cannot_log_anybody_out(tmp_path: Path) -> None:
    async with gateway(tmp_path, ADA) as relay, Client.connect(relay.port) as client:
        body = json.dumps({"id": addon.known()[0].id}).encode()
        answer = await client.ask("/auth/logout", body, origin="https://evil.example")
        assert answer.status == 403 and addon.known()
