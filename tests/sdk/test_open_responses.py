"""The cases of https://www.openresponses.org/compliance, and the paths that its specification has
added, at a relay that is started as users do. Plain HTTP: no SDK hides a fault."""

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from tests.codex.driver import API_KEY, Relay
from tests.fake_provider import FakeProvider, image_urls
from tests.replies import Finish, call, say, think
from tests.sdk.conftest import http_client_options
from tests.sdk.open_responses import COMPACTED, ITEM, RESPONSE, check_event, check_schema
from tests.sdk.test_responses import PICTURE
from tests.translate.support import lawful_events

Json = dict[str, Any]
Post = Callable[..., Json]

WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Tells the weather of a place.",
    "parameters": {
        "type": "object",
        "properties": {"location": {"type": "string"}},
        "required": ["location"],
    },
}


def message(role: str, content: object) -> Json:
    return {"type": "message", "role": role, "content": content}


def send_request(relay: Relay, path: str = "", **fields: Any) -> httpx2.Response:
    with httpx2.Client(**http_client_options(relay, "base_url"), timeout=20) as http:
        headers = {"authorization": f"Bearer {API_KEY}"}
        url = f"{relay.url}/v1/responses{path}"
        return http.post(url, json={"model": "gpt-5.5", **fields}, headers=headers)


@pytest.fixture(params=["whole", "streamed"])
def post_response(request: pytest.FixtureRequest, relay: Relay) -> Post:
    """Posts a request, checks all that comes, and returns the response."""

    def post(**fields: Any) -> Json:
        streams = request.param == "streamed"
        reply = send_request(relay, **fields, stream=streams)
        assert reply.status_code == 200, reply.text
        kind = "text/event-stream" if streams else "application/json"
        assert reply.headers["content-type"].partition(";")[0] == kind
        if not streams:
            response: Json = reply.json()
        else:
            events = lawful_events(reply.content)
            for event in events:
                check_event(event)
            response = events[-1]["response"]
        check_schema(response, RESPONSE)
        return response

    return post


def test_text_response(post_response: Post, provider: FakeProvider) -> None:
    provider.reply(think("Three words."), say("Hello, dear world."))
    response = post_response(input=[message("user", "Greet the world in three words.")])
    assert response["status"] == "completed"
    assert response["completed_at"] >= response["created_at"]
    assert [item["type"] for item in response["output"]] == ["reasoning", "message"]
    assert response["output"][1]["content"][0]["text"] == "Hello, dear world."
    assert response["usage"]["total_tokens"] > 0


def test_system_prompt(post_response: Post, provider: FakeProvider) -> None:
    provider.reply(say("Ahoy!"))
    messages = [message("system", "Speak like a sailor."), message("user", "Say hello.")]
    assert post_response(input=messages)["status"] == "completed"
    assert provider.posted_requests[0].system == "Speak like a sailor."


def test_tool_calling(post_response: Post, provider: FakeProvider) -> None:
    provider.reply(say("Let me look."), call("get_weather", location="Bern"))
    response = post_response(
        input=[message("user", "How is the weather in Bern?")], tools=[WEATHER]
    )
    [function_call] = [item for item in response["output"] if item["type"] == "function_call"]
    assert (function_call["name"], function_call["status"]) == ("get_weather", "completed")
    assert json.loads(function_call["arguments"]) == {"location": "Bern"}


def test_streamed_call_has_all_of_its_events(relay: Relay, provider: FakeProvider) -> None:
    provider.reply(call("get_weather", location="Bern"))
    reply = send_request(relay, input="How is the weather in Bern?", tools=[WEATHER], stream=True)
    events = lawful_events(reply.content)
    steps = [event["type"] for event in events if event.get("output_index") == 0]
    assert steps[0] == "response.output_item.added"
    assert set(steps[1:-2]) == {"response.function_call_arguments.delta"}
    assert steps[-2:] == ["response.function_call_arguments.done", "response.output_item.done"]


def test_image_input(post_response: Post, provider: FakeProvider) -> None:
    provider.reply(say("A pixel."))
    parts = [
        {"type": "input_text", "text": "What is it?"},
        {"type": "input_image", "image_url": PICTURE},
    ]
    assert post_response(input=[message("user", parts)])["status"] == "completed"
    assert image_urls(provider.posted_requests[0].messages[-1]) == [PICTURE]


def test_many_turns(post_response: Post, provider: FakeProvider) -> None:
    provider.reply(say("Ada."))
    messages = [
        message("user", "I am Ada."),
        {**message("assistant", "Hello, Ada."), "phase": "final_answer"},
        message("user", "Who am I?"),
    ]
    assert post_response(input=messages)["status"] == "completed"
    assert [m["role"] for m in provider.posted_requests[0].messages] == [
        "user",
        "assistant",
        "user",
    ]


def test_many_turns_by_id(post_response: Post, provider: FakeProvider) -> None:
    provider.reply(say("Hello, Ada."))
    provider.reply(say("Ada."))
    first = post_response(input=[message("user", "I am Ada.")])
    second = post_response(input="Who am I?", previous_response_id=first["id"])
    assert (second["previous_response_id"], second["store"]) == (first["id"], True)
    assert [m["role"] for m in provider.posted_requests[1].messages] == [
        "user",
        "assistant",
        "user",
    ]


def test_every_setting_is_echoed(post_response: Post, provider: FakeProvider) -> None:
    provider.reply(say("{}"))
    form = {"type": "json_schema", "name": "empty", "schema": {"type": "object"}}
    settings: Json = {
        "instructions": "Be brief.", "max_output_tokens": 50, "temperature": 0.5, "top_p": 0.9,
        "reasoning": {"effort": "low"}, "tools": [WEATHER], "metadata": {"a": "b"},
        "tool_choice": {"type": "function", "name": "get_weather"}, "store": False,
        "safety_identifier": "someone", "prompt_cache_key": "key", "max_tool_calls": 2,
        "presence_penalty": 0.1, "frequency_penalty": 0.2, "parallel_tool_calls": False,
    }  # fmt: skip
    response = post_response(input="Go.", text={"format": form, "verbosity": "low"}, **settings)
    for name, value in settings.items():
        if name not in ("tools", "reasoning"):
            assert response[name] == value


def test_truncated_answer_is_incomplete(post_response: Post, provider: FakeProvider) -> None:
    provider.reply(say("So far and no"), Finish("length"))
    response = post_response(input="Go on.")
    assert response["status"] == "incomplete" and response["completed_at"] is None
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert response["output"][0]["status"] == "incomplete"


def test_failed_stream_ends_as_failed(relay: Relay, provider: FakeProvider) -> None:
    provider.reply(say("So far"), Finish("error"))
    events = lawful_events(send_request(relay, input="Go on.", stream=True).content)
    for event in events:
        check_event(event)
    assert events[-1]["type"] == "response.failed"


def test_compaction(relay: Relay, provider: FakeProvider) -> None:
    provider.reply(say("A name was told: Ada."))
    provider.reply(say("Ada."))
    reply = send_request(relay, "/compact", input=[message("user", "I am Ada.")])
    compacted = reply.json()
    check_schema(compacted, COMPACTED)
    items = [*compacted["output"], message("user", "Who am I?")]
    check_schema(send_request(relay, input=items).json(), RESPONSE)
    assert "A name was told: Ada." in str(provider.posted_requests[1].messages)


def test_errors_have_the_required_form(relay: Relay) -> None:
    for fields in ({"input": 5}, {"input": "a", "previous_response_id": "resp_none"}):
        reply = send_request(relay, **fields)
        assert reply.status_code == 400
        error = reply.json()["error"]
        assert error["type"] == "invalid_request_error" and error["message"] and error["param"]


@pytest.mark.parametrize("left_out", ["id", "status", "role", "content", "type"])
def test_schema_reports_a_missing_field(left_out: str) -> None:
    whole = {**message("assistant", []), "id": "msg_1", "status": "completed"}
    check_schema(whole, ITEM)
    with pytest.raises(Exception, match="is not valid under any"):
        check_schema({name: value for name, value in whole.items() if name != left_out}, ITEM)
