"""LangChain's client for OpenAI before the relay, in both of the dialects that it speaks."""

import sys
from typing import Any

import pytest

from tests.deployments import Deployment, Deployments
from tests.replies import call, error, pause, say, think

if sys.version_info < (3, 13):
    pytest.skip("LangChain is installed for Python 3.13 only", allow_module_level=True)

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_openai import ChatOpenAI
from openai import BadRequestError
from pydantic import BaseModel, SecretStr


@pytest.fixture(params=["file", "provider"])
def deployment(request: pytest.FixtureRequest, deployments: Deployments) -> Deployment:
    return deployments.deployment(request.param)


@pytest.fixture(params=["chat", "responses"])
def model(request: pytest.FixtureRequest, deployment: Deployment) -> ChatOpenAI:
    return ChatOpenAI(
        model=deployment.model,
        base_url=f"{deployment.relay.url}/v1",
        api_key=SecretStr("sk-invented"),
        use_responses_api=request.param == "responses",
        max_retries=0,
        timeout=20,
    )


def weather(city: str) -> str:
    """The weather of a city."""
    return f"rain in {city}"


class Total(BaseModel):
    total: int


def test_answer_has_text_and_usage(model: ChatOpenAI, deployment: Deployment) -> None:
    deployment.upstream.reply(think("Hm."), say("Hello — ¡olé!"))
    answer = model.invoke([SystemMessage("Be brief."), HumanMessage("Hello?")])
    assert answer.text == "Hello — ¡olé!"
    usage = answer.usage_metadata
    assert usage is not None and usage["input_tokens"] == 120
    assert usage["input_token_details"]["cache_read"] == 100
    [request] = deployment.upstream_requests
    assert request.prompt == "Hello?" and "Be brief." in request.system


def test_stream_adds_up(model: ChatOpenAI, deployment: Deployment) -> None:
    longer_than_a_heartbeat = pause(0.8)
    deployment.upstream.reply(say("One, "), longer_than_a_heartbeat, say("two, three."))
    pieces = [chunk.text for chunk in model.stream("Count.")]
    assert "".join(pieces).replace("\n", "") == "One, two, three."
    assert len(list(filter(None, pieces))) > 1


def test_tools_run_in_a_loop_of_streams(model: ChatOpenAI, deployment: Deployment) -> None:
    deployment.upstream.reply(
        think("Two."), call("weather", city="Oslo"), call("weather", city="Rome")
    )
    deployment.upstream.reply(call("weather", city="Lima"))
    deployment.upstream.reply(say("Rain."))
    messages: list[Any] = [HumanMessage("Weather?")]
    with_tools = model.bind_tools([weather])
    for _ in range(5):
        chunks = list(with_tools.stream(messages))
        answer = sum(chunks[1:], chunks[0])
        assert isinstance(answer, AIMessage)
        messages.append(answer)
        if not answer.tool_calls:
            break
        for made_call in answer.tool_calls:
            output = weather(**made_call["args"])
            messages.append(ToolMessage(output, tool_call_id=made_call["id"]))
    assert messages[-1].text == "Rain."
    assert deployment.upstream_requests[-1].outputs == [
        *("rain in Oslo", "rain in Rome", "rain in Lima")
    ]


def test_structured_output_is_parsed(model: ChatOpenAI, deployment: Deployment) -> None:
    deployment.upstream.reply(say('{"total": 3}'))
    structured = model.with_structured_output(Total, method="json_schema")
    assert structured.invoke("1 + 2?") == Total(total=3)
    [request] = deployment.upstream_requests
    name = "text" if deployment.has_account else "response_format"
    assert "total" in str(request.body[name])


def test_error_is_typed(model: ChatOpenAI, deployment: Deployment) -> None:
    deployment.upstream.reply(error(400, "The value of X is bad."))
    with pytest.raises(BadRequestError, match="The value of X is bad"):
        model.invoke("Hello?")
