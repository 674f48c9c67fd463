import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from mitmproxy.http import HTTPFlow
from mitmproxy.test import tflow

from addons.config.addon import Config
from addons.exchange.prepare import (
    build_candidate,
    prepare_fallback_plan,
)
from addons.ingress.addon import Ingress
from addons.ingress.routes import Route
from addons.launch import available_port
from tests.addons.exchange.test_images import image, image_bytes, image_url, message, sample_image
from tests.addons.proxy import bounded, proxy
from translate import BadRequest


def flow_for(body: Any, route: str = "relay", **headers: str) -> HTTPFlow:
    flow = tflow.tflow()
    flow.metadata["relay.route"] = route
    flow.request.content = json.dumps(body).encode()
    for name, value in headers.items():
        flow.request.headers[name.replace("_", "-")] = value
    return flow


@asynccontextmanager
async def configured(**options: str) -> AsyncIterator[None]:
    chosen = {"relay_upstream": "http://127.0.0.1:9/v1", "relay_store": "off", **options}
    async with proxy(Config(), **chosen):
        yield


@bounded
async def test_plan_has_a_candidate_with_the_mapped_model() -> None:
    async with configured(relay_model_map="gpt*:mapped"):
        plan = await prepare_fallback_plan(flow_for({"model": "gpt-5.5", "input": "Hello."}))
    [candidate] = plan.candidates
    assert (plan.route, candidate.model_target.model) == (Route.RELAY, "mapped")
    assert candidate.request_json["input"] == "Hello."
    assert (candidate.image_changes, candidate.history) == ([], None)


@bounded
async def test_chat_clients_stay_chat_clients() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hello."}]}
    async with configured():
        plan = await prepare_fallback_plan(flow_for(body, "chat"))
        sent = json.loads(plan.build_exchange().body)
    assert plan.route is Route.CHAT
    assert plan.context.on_response_end is not None  # the reasoning that the client omits
    assert sent["messages"] == body["messages"]


@bounded
async def test_relay_is_not_its_own_upstream() -> None:
    port = available_port(0)
    options = {"relay_port": str(port), "relay_upstream": f"http://localhost:{port}/v1"}
    async with proxy(Config(), Ingress(), relay_store="off", **options) as (master, _):
        while len(master.addons.get("proxyserver").listen_addrs()) < 2:
            await asyncio.sleep(0.005)
        with pytest.raises(BadRequest, match="is this relay itself; start the relay on another"):
            await prepare_fallback_plan(flow_for({"model": "m", "input": "Hello."}))
        master.options.update(relay_model_map="m:own|ollama/other")
        plan = await prepare_fallback_plan(flow_for({"model": "m", "input": "Hello."}))
        [candidate] = plan.candidates
        assert candidate.model_target.model == "other"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
@bounded
async def test_body_that_is_not_an_object_is_a_bad_request(content: bytes) -> None:
    flow = flow_for({})
    flow.request.content = content
    async with configured():
        with pytest.raises(BadRequest):
            await prepare_fallback_plan(flow)


@bounded
async def test_unknown_content_encoding_is_a_bad_request() -> None:
    flow = flow_for({})
    flow.request.headers["content-encoding"] = "nonsense"
    async with configured():
        with pytest.raises(BadRequest, match="nonsense"):
            await prepare_fallback_plan(flow)


@bounded
async def test_images_of_request_and_history_fit_the_provider() -> None:
    bitmap = image_url(image_bytes(sample_image(), "BMP"), "image/bmp")
    body = {"model": "m", "input": [message(image(bitmap))]}
    async with configured():
        plan = await prepare_fallback_plan(flow_for(body))
        target = plan.model_target
        candidate = await build_candidate(target, body, [message(image(bitmap))])
    assert candidate.image_changes == [
        "input[0].content[0] (image: image/bmp 8x6 to image/png 8x6)"
    ]
    assert candidate.history is not None
    for item in (candidate.request_json["input"][0], candidate.history[0]):
        assert item["content"][0]["image_url"].startswith("data:image/png;")
    assert body["input"][0]["content"][0]["image_url"] == bitmap
