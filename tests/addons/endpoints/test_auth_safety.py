"""addons/endpoints/auth.py, asked by clients, by pages of other sites, by readers of flows."""

import json
import logging
from pathlib import Path

import pytest
from mitmproxy.http import HTTPFlow

from addons.accounts import oauth
from addons.launch import bindable
from tests.addons.gateway import Gateway, gateway
from tests.addons.proxy import Answer, bounded
from tests.fake_auth import person

ADA, BOB = person("ada"), person("bob")


@pytest.fixture(autouse=True)
def free_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oauth, "PORT", bindable(0))


class Seen(list[HTTPFlow]):
    """The flows, as all who keep or show them get them."""

    def response(self, flow: HTTPFlow) -> None:
        self.append(flow)

    @property
    def text(self) -> str:
        return "".join(
            str([flow.get_state(), flow.response and flow.response.text]) for flow in self
        )


def error(answer: Answer) -> str:
    code: str = json.loads(answer.body)["error"]["code"]
    return code


async def ids(relay: Gateway) -> dict[str, bool]:
    told = json.loads((await relay.get("/auth/accounts")).body)["accounts"]
    return {one["id"]: one["selected"] for one in told}


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
        before = await ids(relay)
        other = next(name for name, selected in before.items() if not selected)
        for path in ("/auth/select", "/auth/logout"):
            answer = await relay.post(path, {"id": other}, content_type="text/plain", **headers)
            assert (answer.status, error(answer)) == (403, "foreign_origin"), path
        answer = await relay.get("/auth/login", **headers)
        assert (answer.status, error(answer)) == (403, "foreign_origin")
        assert await ids(relay) == before


@bounded
async def test_our_own_origin_and_programs_do(tmp_path: Path) -> None:
    async with gateway(tmp_path, ADA, BOB) as relay:
        first, second = await ids(relay)
        own = {
            "host": "localhost:9",
            "origin": "http://LOCALHOST:9",
            "sec_fetch_site": "same-origin",
        }
        assert (await relay.post("/auth/select", {"id": second}, **own)).status == 200
        assert await ids(relay) == {first: False, second: True}
        assert (await relay.post("/auth/logout", {"id": second})).status == 200
        assert list(await ids(relay)) == [first]


@bounded
async def test_flows_show_neither_accounts_nor_how_to_log_in(tmp_path: Path) -> None:
    seen = Seen()
    async with gateway(tmp_path, ADA, more=(seen,)) as relay:
        link = (await relay.get("/auth/login")).headers["location"]
        told = await relay.get("/auth/accounts")
        device = json.loads((await relay.get("/auth/login?device=true")).body)
        relay.auth.refusals.clear()
    assert json.loads(told.body)["login"]["url"] == link and b"ada@example.com" in told.body
    for secret in (link, link.rpartition("state=")[2][:20], device["user_code"], "ada@example.com"):
        assert secret not in seen.text


@bounded
async def test_they_do_where_that_is_wanted(tmp_path: Path) -> None:
    seen = Seen()
    async with gateway(tmp_path, ADA, more=(seen,), relay_redact="off") as relay:
        await relay.get("/auth/accounts")
    assert "ada@example.com" in seen.text


@bounded
async def test_no_log_tells_the_cookies_of_the_service(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with gateway(tmp_path, ADA) as relay:
        assert b"gpt-5.5" in (await relay.get("/v1/models")).body
    assert "HTTP Request: GET" in caplog.text and "__cf_bm" not in caplog.text


@pytest.mark.parametrize("path", ["~no-such-user/auth.json", "\0", "/dev/zero", "/"])
@bounded
async def test_what_cannot_be_imported_is_an_answer(
    tmp_path_factory: pytest.TempPathFactory, path: str
) -> None:
    async with gateway(tmp_path_factory.mktemp("a")) as relay:
        answer = await relay.post("/auth/import", {"path": path})
    assert (answer.status, error(answer)) == (503, "vault_unavailable")


@bounded
async def test_keys_in_a_table_of_the_users_are_masked(tmp_path: Path) -> None:
    file = tmp_path / "relay.toml"
    file.write_text(
        '[providers.box]\nlike = "vllm"\nbase_urls = ["http://127.0.0.1:9/v1"]\n'
        'headers = { X-Api-Key = "key-in-a-table", x-team = "a" }\n'
    )
    async with gateway(tmp_path, ADA, relay_config=str(file), relay_provider="box") as relay:
        told = (await relay.get("/debug/identity")).body
    assert b'"X-Api-Key": "(hidden)"' in told and b'"x-team": "a"' in told
    assert b"key-in-a-table" not in told
