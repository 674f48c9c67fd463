from mitmproxy.http import Headers, Response
from mitmproxy.test import tflow

from addons.config.addon import Config
from addons.exchange.headers import (
    account_mark,
    forwarded_reply_headers,
    forwarded_request_headers,
    relay_headers,
    stream_headers,
)
from addons.observe.flow_pair import FlowPair
from tests.addons.proxy import bounded, proxy
from tests.translate.support import GENERIC, provider, responses_exchange

SERVICE = provider(
    client_headers=["session-id", "x-codex-turn-state"], reply_headers=["x-codex-turn-state"]
)


@bounded
async def test_reply_names_provider_model_time_and_what_was_dropped() -> None:
    flow = tflow.tflow()
    async with proxy(Config()):
        pair = FlowPair(flow, flow.request)
        exchange = responses_exchange({"tools": [{"type": "computer"}]})
        headers = relay_headers(exchange, pair)
        assert "x-relay-dropped" not in relay_headers(responses_exchange(), pair)
    assert headers["x-relay-provider"] == GENERIC.name
    assert headers["x-relay-model"] == exchange.model
    assert headers["server-timing"].startswith("relay;dur=")
    assert headers["x-relay-dropped"] == "tools[computer]"


@bounded
async def test_stream_has_chunks_unless_the_client_is_too_old() -> None:
    flow = tflow.tflow()
    for version, encoding in [("HTTP/1.1", "chunked"), ("HTTP/1.0", None)]:
        flow.request.http_version = version
        async with proxy(Config()):
            headers = stream_headers(responses_exchange(), FlowPair(flow, flow.request))
        assert headers.get("transfer-encoding") == encoding
        assert headers["content-type"] == "text/event-stream"
        assert "content-length" not in headers
        assert headers["x-relay-provider"] == GENERIC.name


def test_header_of_a_service_returns_to_it_unchanged() -> None:
    reply = forwarded_reply_headers(Headers(x_codex_turn_state="state"), SERVICE)
    assert reply == {"x-codex-turn-state": f"{account_mark(SERVICE)}.state"}
    request = Headers(session_id="s", accept="*/*", **reply)
    assert forwarded_request_headers(request, SERVICE) == {
        "session-id": "s",
        "x-codex-turn-state": "state",
    }


def test_header_of_another_account_stays_here() -> None:
    other = SERVICE.at_host("another-account")
    reply = forwarded_reply_headers(Headers(x_codex_turn_state="state"), other)
    assert forwarded_request_headers(Headers(**reply), SERVICE) == {}
    assert account_mark(other) != account_mark(SERVICE)
    assert "another-account" not in account_mark(other)


def test_provider_of_its_own_kind_gets_none_of_codexs_headers() -> None:
    headers = Headers(session_id="s", x_codex_turn_state="state")
    assert forwarded_request_headers(headers, GENERIC) == {}
    assert forwarded_reply_headers(headers, GENERIC) == {}


@bounded
async def test_codex_gets_its_services_headers_with_the_reply() -> None:
    flow = tflow.tflow(
        resp=Response.make(200, b"", {"x-codex-turn-state": "state", "x-other": "x"})
    )
    exchange, flow_pair = responses_exchange(to=SERVICE), FlowPair(flow, flow.request)
    async with proxy(Config()):
        headers = relay_headers(exchange, flow_pair)
        exchange.from_codex = False
        headers_for_others = relay_headers(exchange, flow_pair)
    assert headers["x-codex-turn-state"].endswith(".state") and "x-other" not in headers
    assert "x-codex-turn-state" not in headers_for_others
