"""An exchange becomes a case: nothing of its user is in it, and the cases' own tests take it."""

import json
from pathlib import Path

import pytest
from mitmproxy.exceptions import CommandError

from addons.observe.flow_pair import other
from addons.replay.export_case import PIXEL, Scrub, events, lanes, pieces
from tests.addons.exchange.test_addon import refuses, says
from tests.addons.exchange.test_images import image, message, painted, url, written
from tests.addons.exchange.test_native_upstreams import DONE, completed, tells
from tests.addons.proxy import Call, Handler, bounded
from tests.addons.replay.test_check import in_json
from tests.addons.replay.test_commands import exchanged, relay
from tests.translate import test_cases
from tests.translate.cases import Case, write
from tests.translate.support import Json, chunk
from tests.translate.support import stream as chat
from translate import Envelope, seal, unseal

UUID = "0190aa55-1111-7222-8333-abcdefabcdef"
JWT = "eyJhbGciOiJub25l.eyJlbWFpbCI6Im5v.invented"
PRIVATE = [UUID, JWT, "alice", "sk-live-0123456789", "alice@corp.example", "org-a1b2c3d4e5f6"]
SAID = f"cd /home/alice/src && git log # {UUID} sk-live-0123456789 alice@corp.example"


def split(text: str, size: int = 3) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def leaks(call: Call) -> None:
    """The provider says it all, a little at a time, as its words and as the arguments of a call."""
    words = [chunk(content=part) for part in split(SAID)]
    head = {"index": 0, "id": "c1", "function": {"name": "run", "arguments": ""}}
    arguments = split(json.dumps({"cmd": SAID, "as": "alice", "key": JWT}))
    grown = [
        chunk(tool_calls=[{"index": 0, "function": {"arguments": part}}]) for part in arguments
    ]
    call.stream(chat(*words, chunk(tool_calls=[head]), *grown, chunk("tool_calls")))
    call.end()


REQUEST: Json = {
    "model": "gpt-5.5",
    "stream": True,
    "store": False,
    "instructions": "Work in /home/alice/src.",
    "prompt_cache_key": UUID,
    "client_metadata": {"session_id": UUID},
    "tools": [{"type": "function", "name": "run", "parameters": {"type": "object"}}],
    "input": [
        {
            **message({"type": "input_text", "text": f"I am {SAID} of org-a1b2c3d4e5f6, {JWT}"}),
            "internal_chat_message_metadata_passthrough": {"turn_id": UUID},
        },
        message(image(url(written(painted(50, 50))))),
    ],
}
CASES: list[tuple[Handler, Json, str]] = [
    (says(), {}, "reply.sse"),
    (leaks, {}, "reply.sse"),
    (in_json, {"stream": False}, "reply.json"),
    (refuses(429, retry_after="7"), {}, "reply.http"),
]


ID = f"chatcmpl-tool-{UUID}"  # as vLLM makes them
DETAIL = {"type": "reasoning.encrypted", "id": "rs_1", "index": 0}
WORDS = [{"type": "reasoning_text", "text": SAID}]
SEALED = {"item": {"type": "reasoning", "id": "rs_1", "summary": [], "content": WORDS}}
CHAT: Json = {
    "model": "gpt-5.5",
    "stream": True,
    "user": "alice-77",
    "safety_identifier": "alice@corp.example",
    "messages": [
        {"role": "system", "content": "Work in /home/alice/src."},
        {"role": "user", "name": "Alicia", "content": f"I am {SAID} of org-a1b2c3d4e5f6, {JWT}"},
        {"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": url(written(painted(50, 50)))}},
        ]},
        {"role": "assistant", "content": None, "reasoning_content": SAID,
         "reasoning_details": [DETAIL | {"data": seal(Envelope("responses", "gpt-5.5", SEALED))}],
         "tool_calls": [{"id": ID, "type": "function",
                         "function": {"name": "run", "arguments": json.dumps({"cmd": SAID})}}]},
        {"role": "tool", "tool_call_id": ID, "content": SAID},
    ],
    "tools": [{"type": "function", "function": {"name": "run", "parameters": {}}}],
}  # fmt: skip
THOUGHT = {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": f"gAAAA{'b' * 60}"}
CHATS: list[tuple[Handler, Json, str, str]] = [
    (says(), {}, "generic", "reply.sse"),
    (leaks, {}, "generic", "reply.sse"),
    (in_json, {"stream": False}, "generic", "reply.json"),
    (refuses(429, retry_after="7"), {}, "generic", "reply.http"),
    (tells(completed(THOUGHT, DONE)), {}, "responses", "reply.sse"),
]


@pytest.mark.parametrize(("handler", "fields", "provider", "reply"), CHATS)
@bounded
async def test_exported_folder_of_a_chat_client_is_a_case(
    handler: Handler, fields: Json, provider: str, reply: str, tmp_path: Path
) -> None:
    folder = tmp_path / provider / "seen"
    options = {"relay_retries": "0", "relay_provider": provider}
    async with relay(handler, **options) as (_, port, seen, call):
        row = await exchanged(port, seen, **{**CHAT, **fields})
        call("relay.export", [row], str(folder))
    assert {file.name for file in folder.iterdir()} == {"request.json", "note.md", reply}
    text = "".join(file.read_text() for file in folder.iterdir())
    said = lanes(events((folder / reply).read_bytes())).values()
    text += "".join(part for lane in said for part in pieces(lane))
    asked = json.loads((folder / "request.json").read_text())
    [thought] = asked["messages"][3]["reasoning_details"]
    opened = unseal(thought["data"])
    assert opened and opened.provider == "responses"
    text += json.dumps(opened.state)
    secrets = [*PRIVATE, "alice-77", "Alicia", THOUGHT["encrypted_content"]]
    assert not [what for what in secrets if what in text]
    assert asked["messages"][3]["tool_calls"][0]["id"] == asked["messages"][4]["tool_call_id"]
    assert asked["messages"][4]["tool_call_id"].startswith("chatcmpl-tool-0000")
    assert asked["messages"][2]["content"][0]["image_url"]["url"] == PIXEL
    assert asked["tools"] == CHAT["tools"]
    assert_passes(folder)
    assert Case(folder).client == "chat"


@pytest.mark.parametrize(("handler", "fields", "reply"), CASES)
@bounded
async def test_exported_folder_is_a_case(
    handler: Handler, fields: Json, reply: str, tmp_path: Path
) -> None:
    folder = tmp_path / "generic" / "seen"
    async with relay(handler, relay_retries="0") as (_, port, seen, call):
        row = await exchanged(port, seen, **{**REQUEST, **fields})
        call("relay.export", [other(row)], str(folder))
    assert {file.name for file in folder.iterdir()} == {"request.json", "note.md", reply}
    text = "".join(file.read_text() for file in folder.iterdir())
    said = lanes(events((folder / reply).read_bytes())).values()
    text += "".join(part for lane in said for part in pieces(lane))
    assert not [what for what in PRIVATE if what in text]
    assert "client_metadata" not in text and "passthrough" not in text
    asked = json.loads((folder / "request.json").read_text())
    assert asked["prompt_cache_key"] == "00000000-0000-4000-8000-000000000001"
    assert "/home/person1/src" in asked["instructions"]
    assert asked["input"][1]["content"][0]["image_url"] == PIXEL
    assert_passes(folder)


def assert_passes(folder: Path) -> None:
    """The machinery of tests/cases completes it, and its tests take it."""
    case = Case(folder)
    write([case])
    test_cases.test_case_makes_what_its_folder_says(case)
    test_cases.test_case_sends_what_a_strict_provider_takes(case)
    test_cases.test_case_answers_lawfully(case)
    assert (folder / "upstream.json").exists()


@bounded
async def test_what_can_be_no_case_is_said(tmp_path: Path) -> None:
    async with relay(says()) as (_, port, seen, call):
        row = await exchanged(port, seen)
        row.request.text = json.dumps({"model": "m", "previous_response_id": "resp_1"})
        with pytest.raises(CommandError, match="It continues a kept response"):
            call("relay.export", [row], str(tmp_path / "a"))
        row.request.text = "nothing"
        with pytest.raises(CommandError, match="Its request cannot be read"):
            call("relay.export", [row], str(tmp_path / "a"))
        with pytest.raises(CommandError, match="One exchange is needed, and here are 0"):
            call("relay.export", [], str(tmp_path / "a"))
        (tmp_path / "file").write_text("")
        row.request.text = json.dumps(REQUEST)
        with pytest.raises(CommandError, match="file"):
            call("relay.export", [row], str(tmp_path / "file"))
    assert not (tmp_path / "a").exists()


def test_pieces_of_a_text_hide_nothing_wherever_it_is_cut() -> None:
    for size in range(1, len(SAID) + 1):
        data = chat(*(chunk(content=part) for part in split(SAID, size)))
        made = Scrub("", data).reply(data)
        [lane] = lanes(events(made)).values()
        assert "".join(pieces(lane)) == Scrub("", SAID.encode()).text(SAID)
        assert len(pieces(lane)) == len(split(SAID, size))


def test_what_has_nothing_to_hide_stays_to_the_byte() -> None:
    data = b'data: {"choices" : [ ] , "n": 1e3}\r\n\r\n: comment\ndata: [DONE]\n\n'
    assert Scrub("", data).reply(data) == data


def test_the_same_one_is_the_same_placeholder() -> None:
    scrub = Scrub("/home/bob/x /Users/ann/y C:\\\\Users\\\\bob", b"")
    assert (
        scrub.text("/home/ann, bob and ann; bobby") == "/home/person1, person2 and person1; bobby"
    )
    assert scrub.text(scrub.text(SAID)) == scrub.text(SAID)


def test_what_we_sealed_is_opened_for_it() -> None:
    sealed = seal(Envelope("generic", "m", {"text": "at /home/alice/x"}))
    found = unseal(
        Scrub("/home/alice", b"").value({"encrypted_content": sealed})["encrypted_content"]
    )
    assert found and found.state == {"text": "at /home/person1/x"}


def test_who_asks_is_hidden_and_what_a_tool_is_called_is_not() -> None:
    said = {
        "user": "u-1",
        "safety_identifier": "",
        "messages": [
            {"role": "user", "name": "u-1", "content": "u-1"},
            {"role": "tool", "name": "t"},
        ],
        "tools": [{"parameters": {"properties": {"user": {"type": "string"}}}}],
    }
    made = Scrub("", b"").value(said)
    assert made["user"] == made["messages"][0]["name"] == "person1"
    assert made["messages"][1] == said["messages"][1]  # type: ignore[index]
    assert made["tools"] == said["tools"] and made["safety_identifier"] == ""


@pytest.mark.parametrize("field", ["refusal", "reasoning_content", "custom", "function_call"])
def test_whatever_grows_in_a_chat_stream_hides_nothing(field: str) -> None:
    def delta(part: str) -> Json:
        match field:
            case "custom":
                return {"tool_calls": [{"index": 0, "custom": {"input": part}}]}
            case "function_call":
                return {"function_call": {"arguments": part}}
        return {field: part}

    data = chat(*(chunk(**delta(part)) for part in split(SAID)))
    [lane] = lanes(events(Scrub("", data).reply(data))).values()
    assert "".join(pieces(lane)) == Scrub("", SAID.encode()).text(SAID)
