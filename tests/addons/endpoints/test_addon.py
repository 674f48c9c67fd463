"""The table of handlers."""

import json
import logging
from typing import Any

import pytest
from mitmproxy.http import HTTPFlow
from mitmproxy.test import tflow

from addons.endpoints.addon import HANDLERS, Endpoints, run_handler
from addons.flow_data import OWN_PORT
from addons.ingress.routes import RELAYED_ROUTES, ROUTES_BY_HOST, Route
from tests.addons.proxy import bounded


def flow_to(path: str, method: str = "GET") -> HTTPFlow:
    """A live flow to the relay's own port."""
    flow = tflow.tflow()
    flow.live, flow.metadata[OWN_PORT] = True, True
    flow.request.method, flow.request.path = method, path
    return flow


def error_of(flow: HTTPFlow) -> tuple[int, Any]:
    assert flow.response
    return flow.response.status_code, json.loads(flow.response.content or b"")["error"]


def test_every_route_is_relayed_forwarded_passed_or_has_a_handler() -> None:
    """The dashboard has an addon of its own."""
    elsewhere = {*RELAYED_ROUTES, Route.DASHBOARD, Route.PASS}
    assert set(HANDLERS) == set(Route) - elsewhere
    served = {
        route
        for paths in ROUTES_BY_HOST.values()
        for methods in paths.values()
        for route in methods.values()
    }
    assert set(Route) - served == {Route.ISOLATED, Route.MISSING, Route.METHOD, Route.PASS}


def test_relayed_flows_cost_no_coroutine() -> None:
    for path in ("/v1/responses", "/v1/chat/completions", "/v1/responses/compact"):
        assert Endpoints().request(flow_to(path, "POST")) is None


def test_flows_that_are_refused_or_read_from_a_file_are_left_alone() -> None:
    refused, saved = flow_to("/health"), flow_to("/health")
    refused.response = tflow.tflow(resp=True).response
    saved.live = False
    assert Endpoints().request(refused) is None
    assert Endpoints().request(saved) is None


@bounded
async def test_the_handler_of_the_route_answers() -> None:
    flow = flow_to("/no/such/path")
    reply = Endpoints().request(flow)
    assert reply is not None
    await reply
    assert error_of(flow)[0] == 404


@bounded
async def test_a_bug_is_answered_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(flow: HTTPFlow) -> None:
        raise KeyError("hush")

    flow = flow_to("/health")
    with caplog.at_level(logging.ERROR):
        await run_handler(fail, flow)
    status, fields = error_of(flow)
    assert status == 500 and "hush" not in fields["message"]
    assert "KeyError: 'hush'" in caplog.text
