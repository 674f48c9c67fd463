"""The corpus: completed turns without secrets."""

import json
import re
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from addons.launch import start
from tests.addons.proxy import confdir
from tests.fake_provider import FakeProvider
from tests.replies import call, error, say, think

TOOL: Any = {"type": "function", "name": "look", "parameters": {"type": "object"}, "strict": False}
KEY = "sk-proj-abcdefghijklmnop1234"


def read_entries(folder: Path) -> list[dict[str, Any]]:
    texts = [file.read_text() for file in folder.glob("*.jsonl")]
    return [json.loads(line) for text in texts for line in text.splitlines()]


@pytest.mark.parametrize("stream", [True, False])
def test_completed_turns_are_messages(tmp_path: Path, provider: FakeProvider, stream: bool) -> None:
    provider.reply(think("Hm."), call("look", at=KEY))
    provider.reply(say("It is up."))
    provider.reply(error(400))
    folder = tmp_path / "corpus"
    arguments = ["--set", f"confdir={confdir()}"]
    settings = {"upstream": provider.url, "api_key": provider.key, "record": str(folder)}
    with start(arguments=arguments, **settings) as relay:
        client = OpenAI(base_url=relay.url, api_key="none", max_retries=0)
        input: list[Any] = [{"role": "user", "content": f"Look, {provider.key} and {KEY}!"}]
        for output in ("Risen.", ""):
            if stream:
                with client.responses.stream(
                    model="m", instructions="Be brief.", input=input, tools=[TOOL], store=False
                ) as events:
                    response = events.get_final_response()
            else:
                response = client.responses.create(
                    model="m", instructions="Be brief.", input=input, tools=[TOOL], store=False
                )
            input += [item.model_dump(exclude_none=True) for item in response.output]
            if output:
                result = {"call_id": response.output[-1].call_id, "output": output}  # type: ignore[union-attr]
                input.append({"type": "function_call_output", **result})
        with pytest.raises(Exception, match="400"):
            client.responses.create(model="m", input="No.", store=False)
    first, second = read_entries(folder)
    roles = [message["role"] for message in second["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "assistant"]
    assert second["messages"][: len(first["messages"])] == first["messages"]
    assert first["messages"][-1]["reasoning_content"] == "Hm."
    assert second["messages"][-1]["content"] == "It is up."
    assert first["tools"][0]["function"]["name"] == "look"
    assert first["metadata"]["model"] == "m" and first["metadata"]["input_tokens"] > 0
    [file] = folder.iterdir()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d\.jsonl", file.name)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    text = file.read_text()
    assert KEY not in text and str(provider.key) not in text
    assert text.count("(hidden)") >= 4


@pytest.mark.parametrize("dialect", ["chat", "responses"])
@pytest.mark.parametrize("stream", [True, False])
def test_turns_of_chat_clients_are_the_same_messages(
    tmp_path: Path, provider: FakeProvider, dialect: str, stream: bool
) -> None:
    provider.reply(think("Hm."), call("look", at=KEY))
    provider.reply(say("It is up."))
    folder = tmp_path / "corpus"
    settings = {"upstream": provider.url, "api_key": provider.key, "record": str(folder)}
    settings |= {"provider": "responses"} if dialect == "responses" else {}
    tools: Any = [{"type": "function", "function": {"name": "look", "parameters": {}}}]
    messages: list[Any] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": f"Look, {provider.key} and {KEY}!"},
    ]
    with start(arguments=["--set", f"confdir={confdir()}"], **settings) as relay:
        client = OpenAI(base_url=relay.url, api_key="none", max_retries=0)
        for output in ("Risen.", ""):
            request: Any = {"model": "m", "messages": messages, "tools": tools}
            if stream:
                with client.chat.completions.stream(**request) as events:
                    completion = events.get_final_completion()
            else:
                completion = client.chat.completions.create(**request)
            message = completion.choices[0].message
            messages.append(message.model_dump(exclude_none=True, exclude={"parsed"}))
            for tool_call in message.tool_calls or ():
                messages.append({"role": "tool", "tool_call_id": tool_call.id, "content": output})
    first, second = read_entries(folder)
    roles = [message["role"] for message in second["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "assistant"]
    assert second["messages"][: len(first["messages"])] == first["messages"]
    assert first["messages"][-1]["reasoning_content"] == "Hm."
    assert second["messages"][-1] == {"role": "assistant", "content": "It is up."}
    assert first["tools"][0]["function"]["name"] == "look"
    assert first["metadata"]["provider"] == ("responses" if dialect == "responses" else "generic")
    text = "".join(file.read_text() for file in folder.iterdir())
    assert KEY not in text and str(provider.key) not in text


def test_folder_that_cannot_be_written_is_logged(tmp_path: Path, provider: FakeProvider) -> None:
    provider.reply(say("Hi."))
    (tmp_path / "file").write_text("")
    settings = {"upstream": provider.url, "api_key": provider.key, "record": str(tmp_path / "file")}
    with start(arguments=["--set", f"confdir={confdir()}"], **settings) as relay:
        client = OpenAI(base_url=relay.url, api_key="none", max_retries=0)
        assert client.responses.create(model="m", input="Hi.", store=False).output_text == "Hi."
        deadline = time.monotonic() + 10
        while "relay_record: " not in relay.log.read_text() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert "relay_record: " in relay.log.read_text()
