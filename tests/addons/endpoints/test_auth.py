"""Accounts over HTTP: log in, log out, select, import; and what flows and other pages see."""

import asyncio
import json
import logging
from pathlib import Path

import pytest
from mitmproxy.http import HTTPFlow

from addons.accounts import oauth
from addons.accounts.addon import account_summaries, current_login
from addons.launch import available_port
from tests.addons.gateway import Gateway, gateway
from tests.addons.proxy import Answer, Client, bounded
from tests.fake_auth import fetch_final_page, make_user
from tests.translate.support import Json

ADA, BOB = make_user("ada"), make_user("bob")


@pytest.fixture(autouse=True)
def free_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oauth, "CALLBACK_PORT", available_port(0))


class FlowCollector(list[HTTPFlow]):
    """Collects flows, as addons that save or show them see them."""

    def response(self, flow: HTTPFlow) -> None:
        self.append(flow)

    @property
    def text(self) -> str:
        return "".join(
            str([flow.get_state(), flow.response and flow.response.text]) for flow in self
        )


def reply_json(answer: Answer) -> Json:
    value: Json = json.loads(answer.body)
    return value


def error_code(answer: Answer) -> str:
    code: str = json.loads(answer.body)["error"]["code"]
    return code


def account_emails(answer: Answer) -> list[str]:
    return [account["email"] for account in reply_json(answer)["accounts"]]


async def selection_by_id(relay: Gateway) -> dict[str, bool]:
    """Which accounts there are, and whether each is selected."""
    accounts = reply_json(await relay.get("/auth/accounts"))["accounts"]
    return {account["id"]: account["selected"] for account in accounts}


@bounded
async def test_list_of_accounts_has_no_secrets(tmp_path: Path) -> None:
    async with gateway(tmp_path, ADA, BOB) as relay:
        answer = await relay.get("/auth/accounts")
        tokens = [*relay.auth.access_tokens]
    assert account_emails(answer) == [ADA.email, BOB.email]
    assert not any(secret in answer.body.decode() for secret in (*tokens, ADA.workspace))


@bounded
async def test_browser_login_ends_with_an_account(tmp_path: Path) -> None:
    async with gateway(tmp_path) as relay:
        relay.auth.port = oauth.CALLBACK_PORT
        answer = await relay.get("/auth/login", sec_fetch_site="none")
        assert answer.status == 302
        page = await fetch_final_page(answer.headers["location"])
        assert page.status_code == 200
        assert account_emails(await relay.get("/auth/accounts")) == [relay.auth.user.email]


@bounded
async def test_device_login_ends_with_an_account(tmp_path: Path) -> None:
    async with gateway(tmp_path) as relay:
        device_login = reply_json(await relay.get("/auth/login?device=true"))
        assert reply_json(await relay.get("/auth/accounts"))["login"] == device_login
        relay.auth.approve_device(device_login["user_code"])
        async with asyncio.timeout(5):
            while not account_summaries():
                await asyncio.sleep(0.02)
        assert reply_json(await relay.get("/auth/accounts"))["login"] is None


@bounded
async def test_page_of_another_site_cannot_start_a_login(tmp_path: Path) -> None:
    async with gateway(tmp_path) as relay:
        answer = await relay.get("/auth/login", sec_fetch_site="cross-site")
        assert answer.status == 403 and current_login().current_status() is None


@bounded
async def test_used_callback_port_is_named_with_the_cure(tmp_path: Path) -> None:
    async with gateway(tmp_path) as relay:
        server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", oauth.CALLBACK_PORT)
        answer = await relay.get("/auth/login")
        server.close()
    assert answer.status == 409
    assert str(oauth.CALLBACK_PORT) in reply_json(answer)["error"]["message"]
    assert "device" in reply_json(answer)["error"]["message"]


@bounded
async def test_select_and_logout(tmp_path: Path) -> None:
    async with gateway(tmp_path, ADA, BOB) as relay:
        first, second = (
            account["id"] for account in reply_json(await relay.get("/auth/accounts"))["accounts"]
        )
        selected = reply_json(await relay.post("/auth/select", {"id": second}))["accounts"]
        assert [account["selected"] for account in selected] == [False, True]
        assert account_emails(await relay.post("/auth/logout", {"id": first})) == [BOB.email]
        missing = await relay.post("/auth/logout", {"id": first})
        wrong = await relay.post("/auth/select", {"id": 5})
    assert (missing.status, wrong.status) == (404, 400)
    assert reply_json(wrong)["error"]["param"] == "id"


@bounded
async def test_import_copies_the_login_of_codex(tmp_path: Path) -> None:
    path = tmp_path / "auth.json"
    async with gateway(tmp_path) as relay:
        tokens = relay.auth.issue_tokens(ADA)
        path.write_text(json.dumps({"tokens": {
            "access_token": tokens.access_token, "refresh_token": tokens.refresh_token,
            "id_token": tokens.id_token,
        }}))  # fmt: skip
        answer = await relay.post("/auth/import", {"path": str(path)})
        missing = await relay.post("/auth/import", {"path": str(tmp_path / "none")})
    assert (
        account_emails(answer) == [ADA.email]
        and "share one refresh token" in reply_json(answer)["note"]
    )
    error = reply_json(missing)["error"]
    assert missing.status == 400 and error["param"] == "path" and str(tmp_path) not in str(error)


@bounded
async def test_all_paths_need_the_key_of_the_admin(tmp_path: Path) -> None:
    async with gateway(tmp_path, ADA, relay_client_key="laptop:k-1,admin:k-2") as relay:
        for path in ("/auth/accounts", "/auth/login", "/debug/identity"):
            assert (await relay.get(path)).status == 401
            refused = await relay.get(path, authorization="Bearer k-1")
            assert (refused.status, error_code(refused)) == (403, "not_admin")
        for path in ("/auth/logout", "/auth/select", "/auth/import"):
            body = {"id": account_summaries()[0].id, "path": str(tmp_path / "logins")}
            refused = await relay.post(path, body, authorization="Bearer k-1")
            assert (refused.status, error_code(refused)) == (403, "not_admin")
        assert account_summaries()
        assert (await relay.get("/auth/accounts", authorization="Bearer k-2")).status == 200


@bounded
async def test_page_of_another_site_cannot_log_out(tmp_path: Path) -> None:
    async with gateway(tmp_path, ADA) as relay, Client.connect(relay.port) as client:
        body = json.dumps({"id": account_summaries()[0].id}).encode()
        answer = await client.ask("/auth/logout", body, origin="https://evil.example")
        assert answer.status == 403 and account_summaries()


@pytest.mark.parametrize(
    "headers",
    [
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "same-origin, cross-site"},
        {"origin": "http://localhost:3000"},
        {"origin": "http://page.localhost"},
        {"origin": "http://127.0.0.1"},
        {"origin": "null"},
    ],
)
@bounded
async def test_pages_of_other_origins_change_nothing(
    tmp_path_factory: pytest.TempPathFactory, headers: dict[str, str]
) -> None:
    async with gateway(tmp_path_factory.mktemp("a"), ADA, BOB) as relay:
        selection = await selection_by_id(relay)
        other_id = next(name for name, selected in selection.items() if not selected)
        for path in ("/auth/select", "/auth/logout"):
            answer = await relay.post(path, {"id": other_id}, content_type="text/plain", **headers)
            assert (answer.status, error_code(answer)) == (403, "foreign_origin"), path
        answer = await relay.get("/auth/login", **headers)
        assert (answer.status, error_code(answer)) == (403, "foreign_origin")
        assert await selection_by_id(relay) == selection


@bounded
async def test_own_origin_and_programs_may_change_accounts(tmp_path: Path) -> None:
    async with gateway(tmp_path, ADA, BOB) as relay:
        first, second = await selection_by_id(relay)
        own_origin = {
            "host": "localhost:9",
            "origin": "http://LOCALHOST:9",
            "sec_fetch_site": "same-origin",
        }
        assert (await relay.post("/auth/select", {"id": second}, **own_origin)).status == 200
        assert await selection_by_id(relay) == {first: False, second: True}
        assert (await relay.post("/auth/logout", {"id": second})).status == 200
        assert list(await selection_by_id(relay)) == [first]


@bounded
async def test_flows_show_neither_accounts_nor_login_codes(tmp_path: Path) -> None:
    collector = FlowCollector()
    async with gateway(tmp_path, ADA, extra_addons=(collector,)) as relay:
        link = (await relay.get("/auth/login")).headers["location"]
        accounts = reply_json(await relay.get("/auth/accounts"))
        device = json.loads((await relay.get("/auth/login?device=true")).body)
        relay.auth.refusals.clear()
    assert accounts["login"]["url"] == link
    assert accounts["accounts"][0]["email"] == "ada@example.com"
    for secret in (link, link.rpartition("state=")[2][:20], device["user_code"], "ada@example.com"):
        assert secret not in collector.text


@bounded
async def test_flows_show_accounts_without_redaction(tmp_path: Path) -> None:
    collector = FlowCollector()
    async with gateway(tmp_path, ADA, extra_addons=(collector,), relay_redact="off") as relay:
        await relay.get("/auth/accounts")
    assert "ada@example.com" in collector.text


@bounded
async def test_log_has_no_cookies_of_the_service(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with gateway(tmp_path, ADA) as relay:
        assert b"gpt-5.5" in (await relay.get("/v1/models")).body
    assert "__cf_bm" not in caplog.text and "HTTP Request: GET" not in caplog.text


@pytest.mark.parametrize("path", ["~no-such-user/auth.json", "\0", "/dev/zero", "/"])
@bounded
async def test_import_of_a_bad_path_is_refused(
    tmp_path_factory: pytest.TempPathFactory, path: str
) -> None:
    async with gateway(tmp_path_factory.mktemp("a")) as relay:
        answer = await relay.post("/auth/import", {"path": path})
    assert (answer.status, error_code(answer)) == (400, "no_login")


@bounded
async def test_identity_masks_keys_of_a_users_table(tmp_path: Path) -> None:
    file = tmp_path / "relay.toml"
    file.write_text(
        '[providers.box]\nlike = "vllm"\nbase_urls = ["http://127.0.0.1:9/v1"]\n'
        'headers = { X-Api-Key = "key-in-a-table", x-team = "a" }\n'
    )
    async with gateway(tmp_path, ADA, relay_config=str(file), relay_provider="box") as relay:
        identity = (await relay.get("/debug/identity")).body
    assert b'"X-Api-Key": "(hidden)"' in identity and b'"x-team": "a"' in identity
    assert b"key-in-a-table" not in identity
