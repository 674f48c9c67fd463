"""The corpus: what a model could learn from, and nothing that opens a door."""

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


def recorded(folder: Path) -> list[dict[str, Any]]:
    texts = [file.read_text() for file in folder.glob("*.jsonl")]
    return [json.loads(line) for text in texts for line in text.splitlines()]


@pytest.mark.parametrize("stream", [True, False])
def test_completed_turns_are_messages(tmp_path: Path, provider: FakeProvider, stream: bool) -> None:
    provider.reply(think("Hm."), call("look", at=KEY))
    provider.reply(say("It is up."))
    provider.reply(error(400))
    folder = tmp_path / "corpus"
    arguments = ["--set", f"confdir={confdir()}"]
    given = {"upstream": provider.url, "api_key": provider.key, "record": str(folder)}
    with start(arguments=arguments, **given) as relay:
        client = OpenAI(base_url=relay.url, api_key="none", max_retries=0)
        input: list[Any] = [{"role": "user", "content": f"Look, {provider.key} and {KEY}!"}]
        for output in ("Risen.", ""):
            if stream:
                with client.responses.stream(
                    model="m", instructions="Be brief.", input=input, tools=[TOOL], store=False
                ) as events:
                    made = events.get_final_response()
            else:
                made = client.responses.create(
                    model="m", instructions="Be brief.", input=input, tools=[TOOL], store=False
                )
            input += [item.model_dump(exclude_none=True) for item in made.output]
            if output:
                found = {"call_id": made.output[-1].call_id, "output": output}  # type: ignore[union-attr]
                input.append({"type": "function_call_output", **found})
        with pytest.raises(Exception, match="400"):
            client.responses.create(model="m", input="No.", store=False)
    first, second = recorded(folder)
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
def test_chat_clients_turns_are_the_same_messages(
    tmp_path: Path, provider: FakeProvider, dialect: str, stream: bool
) -> None:
    provider.reply(think("Hm."), call("look", at=KEY))
    provider.reply(say("It is up."))
    folder = tmp_path / "corpus"
    given = {"upstream": provider.url, "api_key": provider.key, "record": str(folder)}
    given |= {"provider": "responses"} if dialect == "responses" else {}
    tools: Any = [{"type": "function", "function": {"name": "look", "parameters": {}}}]
    messages: list[Any] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": f"Look, {provider.key} and {KEY}!"},
    ]
    with start(arguments=["--set", f"confdir={confdir()}"], **given) as relay:
        client = OpenAI(base_url=relay.url, api_key="none", max_retries=0)
        for output in ("Risen.", ""):
            asked: Any = {"model": "m", "messages": messages, "tools": tools}
            if stream:
                with client.chat.completions.stream(**asked) as events:
                    made = events.get_final_completion()
            else:
                made = client.chat.completions.create(**asked)
            message = made.choices[0].message
            messages.append(message.model_dump(exclude_none=True, exclude={"parsed"}))
            for one in message.tool_calls or ():
                messages.append({"role": "tool", "tool_call_id": one.id, "content": output})
    first, second = recorded(folder)
    roles = [message["role"] for message in second["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "assistant"]
    assert second["messages"][: len(first["messages"])] == first["messages"]
    assert first["messages"][-1]["reasoning_content"] == "Hm."
    assert second["messages"][-1] == {"role": "assistant", "content": "It is up."}
    assert first["tools"][0]["function"]["name"] == "look"
    assert first["metadata"]["provider"] == ("responses" if dialect == "responses" else "generic")
    text = "".join(file.read_text() for file in folder.iterdir())
    assert KEY not in text and str(provider.key) not in text


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, provider: FakeProvider) -> None:
    provider.reply(say("Hi."))
    (tmp_path / "file").write_text("")
    given = {"upstream": provider.url, "api_key": provider.key, "record": str(tmp_path / "file")}
    with start(arguments=["--set", f"confdir={confdir()}"], **given) as relay:
        client = OpenAI(base_url=relay.url, api_key="none", max_retries=0)
        assert client.responses.create(model="m", input="Hi.", store=False).output_text == "Hi."
        end = time.monotonic() + 10
        while "relay_record: " not in relay.log.read_text() and time.monotonic() < end:
            time.sleep(0.05)
        assert "relay_record: " in relay.log.read_text()
