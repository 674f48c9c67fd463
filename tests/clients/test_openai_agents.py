"""OpenAI's Agents SDK before the relay, with its models for both dialects."""

import asyncio
import sys
from collections.abc import Awaitable, Callable

import pytest

from tests.deployments import Deployment, Deployments
from tests.replies import call, pause, say, think

if sys.version_info < (3, 13):
    pytest.skip("the Agents SDK is installed for Python 3.13 only", allow_module_level=True)

from agents import (
    Agent,
    Model,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    RunConfig,
    Runner,
    SQLiteSession,
    function_tool,
    set_tracing_disabled,
)
from openai import AsyncOpenAI
from pydantic import BaseModel

MODELS: dict[str, Callable[..., Model]] = {
    "chat": OpenAIChatCompletionsModel,
    "responses": OpenAIResponsesModel,
}
CONFIG = RunConfig(tracing_disabled=True)


@pytest.fixture(params=["file", "provider"])
def deployment(request: pytest.FixtureRequest, deployments: Deployments) -> Deployment:
    return deployments.deployment(request.param)


type RunAgents = Callable[[Callable[[Model], Awaitable[None]]], None]


@pytest.fixture(params=["chat", "responses"])
def run_agents(request: pytest.FixtureRequest, deployment: Deployment) -> RunAgents:
    """Runs a function with the SDK's model for one of the dialects."""
    set_tracing_disabled(True)  # traces go to OpenAI
    base_url = f"{deployment.relay.url}/v1"

    async def run_function(function: Callable[[Model], Awaitable[None]]) -> None:
        options = {"base_url": base_url, "api_key": "sk-invented", "max_retries": 0, "timeout": 20}
        async with AsyncOpenAI(**options) as client:
            await function(MODELS[request.param](deployment.model, client))

    return lambda function: asyncio.run(run_function(function))


@function_tool
def weather(city: str) -> str:
    """The weather of a city."""
    return f"rain in {city}"


class Total(BaseModel):
    total: int


def test_agent_runs_tools_until_it_answers(run_agents: RunAgents, deployment: Deployment) -> None:
    deployment.upstream.reply(
        think("Two."), call("weather", city="Oslo"), call("weather", city="Rome")
    )
    deployment.upstream.reply(think("One more."), call("weather", city="Lima"))
    deployment.upstream.reply(say("Rain."))

    async def check_run(model: Model) -> None:
        agent = Agent("Weather", instructions="Be brief.", model=model, tools=[weather])
        result = await Runner.run(agent, "Weather?", run_config=CONFIG)
        assert result.final_output == "Rain."
        assert result.context_wrapper.usage.input_tokens == 3 * 120

    run_agents(check_run)
    last = deployment.upstream_requests[-1]
    assert last.outputs == ["rain in Oslo", "rain in Rome", "rain in Lima"]
    assert "Be brief." in last.system


def test_agent_streams(run_agents: RunAgents, deployment: Deployment) -> None:
    longer_than_a_heartbeat = pause(0.8)
    deployment.upstream.reply(think("Hm."), call("weather", city="Oslo"))
    deployment.upstream.reply(longer_than_a_heartbeat, say("Rain, as ever."))

    async def check_stream(model: Model) -> None:
        agent = Agent("Weather", model=model, tools=[weather])
        result = Runner.run_streamed(agent, "Weather?", run_config=CONFIG)
        deltas = [
            event.data.delta
            async for event in result.stream_events()
            if event.type == "raw_response_event"
            and event.data.type == "response.output_text.delta"
        ]
        assert "".join(deltas) == result.final_output == "Rain, as ever."

    run_agents(check_stream)
    assert deployment.upstream_requests[-1].outputs == ["rain in Oslo"]


def test_handoff_and_session_continue_a_conversation(
    run_agents: RunAgents, deployment: Deployment
) -> None:
    deployment.upstream.reply(call("transfer_to_poet"))
    deployment.upstream.reply(think("A rhyme."), say("Rain in Oslo."))
    deployment.upstream.reply(say("And in Rome."))

    async def check_conversation(model: Model) -> None:
        poet = Agent("Poet", model=model)
        clerk = Agent("Clerk", model=model, handoffs=[poet])
        session = SQLiteSession("test")
        try:
            poem = await Runner.run(clerk, "A poem.", session=session, run_config=CONFIG)
            verse = await Runner.run(poet, "Go on.", session=session, run_config=CONFIG)
        finally:
            session.close()
        assert (poem.final_output, verse.final_output) == ("Rain in Oslo.", "And in Rome.")

    run_agents(check_conversation)
    last = deployment.upstream_requests[-1]
    assert last.prompt == "Go on." and "Rain in Oslo." in str(last.body)


def test_typed_output_is_parsed(run_agents: RunAgents, deployment: Deployment) -> None:
    deployment.upstream.reply(say('{"total": 3}'))

    async def check_output(model: Model) -> None:
        agent = Agent("Sum", model=model, output_type=Total)
        result = await Runner.run(agent, "1 + 2?", run_config=CONFIG)
        assert result.final_output == Total(total=3)

    run_agents(check_output)
