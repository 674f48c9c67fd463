"""Exported cases hide everything private, and pass the tests of the cases."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy.exceptions import CommandError

from addons.ingress.redaction import mask_text
from addons.ingress.secret_patterns import SECRET, SECRET_PATTERNS
from addons.observe import partner_flow
from addons.replay.export_case import (
    PIXEL,
    Anonymizer,
    growing_texts,
    person_fields,
    reply_values,
)
from tests.addons.exchange.test_addon import refuses, says
from tests.addons.exchange.test_images import image, image_bytes, image_url, message, sample_image
from tests.addons.exchange.test_native_upstreams import DONE, completed, stream_events
from tests.addons.proxy import Call, Handler, bounded
from tests.addons.replay.support import record_exchange, relay_with_commands, reply_in_json
from tests.translate import test_cases
from tests.translate.cases import Case, write
from tests.translate.support import Json, chunk
from tests.translate.support import stream as chat
from translate import Envelope, open_envelope, seal_envelope

UUID = "0190aa55-1111-7222-8333-abcdefabcdef"
JWT = "eyJhbGciOiJub25l.eyJlbWFpbCI6Im5v.invented"
PRIVATE = [UUID, JWT, "alice", "sk-live-0123456789", "alice@corp.example", "org-a1b2c3d4e5f6"]
PRIVATE_TEXT = f"cd /home/alice/src && git log # {UUID} sk-live-0123456789 alice@corp.example"


def cut_text(text: str, size: int = 3) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def stream_private_text(call: Call) -> None:
    """The provider repeats it all in small pieces, as a text and as the arguments of a call."""
    contents = [chunk(content=piece) for piece in cut_text(PRIVATE_TEXT)]
    head = {"index": 0, "id": "c1", "function": {"name": "run", "arguments": ""}}
    arguments = json.dumps({"cmd": PRIVATE_TEXT, "as": "alice", "key": JWT})
    deltas = [
        chunk(tool_calls=[{"index": 0, "function": {"arguments": piece}}])
        for piece in cut_text(arguments)
    ]
    call.stream(chat(*contents, chunk(tool_calls=[head]), *deltas, chunk("tool_calls")))
    call.end()


def joined_texts(reply: bytes) -> list[str]:
    """Each text that grows in a stream, whole."""
    texts = growing_texts(reply_values(reply))
    return ["".join(holder[field] for holder, field in holders) for holders in texts]


# Folders

RESPONSES_REQUEST: Json = {
    "model": "gpt-5.5",
    "stream": True,
    "store": False,
    "instructions": "Work in /home/alice/src.",
    "prompt_cache_key": UUID,
    "client_metadata": {"session_id": UUID},
    "tools": [{"type": "function", "name": "run", "parameters": {"type": "object"}}],
    "input": [
        {
            **message(
                {"type": "input_text", "text": f"I am {PRIVATE_TEXT} of org-a1b2c3d4e5f6, {JWT}"}
            ),
            "internal_chat_message_metadata_passthrough": {"turn_id": UUID},
        },
        message(image(image_url(image_bytes(sample_image(50, 50))))),
    ],
}
RESPONSES_CASES: list[tuple[Handler, Json, str]] = [
    (says(), {}, "reply.sse"),
    (stream_private_text, {}, "reply.sse"),
    (reply_in_json, {"stream": False}, "reply.json"),
    (refuses(429, retry_after="7"), {}, "reply.http"),
]

CALL_ID = f"chatcmpl-tool-{UUID}"  # as vLLM makes them
PICTURE_URL = image_url(image_bytes(sample_image(50, 50)))
REASONING_PARTS = [{"type": "reasoning_text", "text": PRIVATE_TEXT}]
SEALED_ITEM = {"type": "reasoning", "id": "rs_1", "summary": [], "content": REASONING_PARTS}
SEALED_DETAIL = {
    "type": "reasoning.encrypted",
    "id": "rs_1",
    "index": 0,
    "data": seal_envelope(Envelope("responses", "gpt-5.5", {"item": SEALED_ITEM})),
}
CHAT_REQUEST: Json = {
    "model": "gpt-5.5",
    "stream": True,
    "user": "alice-77",
    "safety_identifier": "alice@corp.example",
    "messages": [
        {"role": "system", "content": "Work in /home/alice/src."},
        {"role": "user", "name": "Alicia",
         "content": f"I am {PRIVATE_TEXT} of org-a1b2c3d4e5f6, {JWT}"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": PICTURE_URL}}]},
        {"role": "assistant", "content": None, "reasoning_content": PRIVATE_TEXT,
         "reasoning_details": [SEALED_DETAIL],
         "tool_calls": [{"id": CALL_ID, "type": "function",
                         "function": {"name": "run",
                                      "arguments": json.dumps({"cmd": PRIVATE_TEXT})}}]},
        {"role": "tool", "tool_call_id": CALL_ID, "content": PRIVATE_TEXT},
    ],
    "tools": [{"type": "function", "function": {"name": "run", "parameters": {}}}],
}  # fmt: skip
ENCRYPTED = f"gAAAA{'b' * 60}"
REASONING = {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": ENCRYPTED}
CHAT_CASES: list[tuple[Handler, Json, str, str]] = [
    (says(), {}, "generic", "reply.sse"),
    (stream_private_text, {}, "generic", "reply.sse"),
    (reply_in_json, {"stream": False}, "generic", "reply.json"),
    (refuses(429, retry_after="7"), {}, "generic", "reply.http"),
    (stream_events(completed(REASONING, DONE)), {}, "responses", "reply.sse"),
]


@pytest.mark.parametrize(("handler", "fields", "provider", "reply_file"), CHAT_CASES)
@bounded
async def test_exported_folder_of_a_chat_client_is_a_case(
    handler: Handler, fields: Json, provider: str, reply_file: str, tmp_path: Path
) -> None:
    folder = tmp_path / provider / "exported"
    options = {"relay_retries": "0", "relay_provider": provider}
    async with relay_with_commands(handler, **options) as (_, port, ended_flows, call):
        flow = await record_exchange(port, ended_flows, **{**CHAT_REQUEST, **fields})
        call("relay.export", [flow], str(folder))
    request = json.loads((folder / "request.json").read_text())
    [detail] = request["messages"][3]["reasoning_details"]
    envelope = open_envelope(detail["data"])
    assert envelope and envelope.provider_identity == "responses"
    text = folder_text(folder, reply_file) + json.dumps(envelope.payload)
    secrets = [*PRIVATE, "alice-77", "Alicia", ENCRYPTED]
    assert not [secret for secret in secrets if secret in text]
    call_id = request["messages"][3]["tool_calls"][0]["id"]
    assert call_id == request["messages"][4]["tool_call_id"]
    assert call_id.startswith("chatcmpl-tool-0000")
    assert request["messages"][2]["content"][0]["image_url"]["url"] == PIXEL
    assert request["tools"] == CHAT_REQUEST["tools"]
    assert_is_case(folder)
    assert Case(folder).client == "chat"


@pytest.mark.parametrize(("handler", "fields", "reply_file"), RESPONSES_CASES)
@bounded
async def test_exported_folder_is_a_case(
    handler: Handler, fields: Json, reply_file: str, tmp_path: Path
) -> None:
    folder = tmp_path / "generic" / "exported"
    async with relay_with_commands(handler, relay_retries="0") as (_, port, ended_flows, call):
        flow = await record_exchange(port, ended_flows, **{**RESPONSES_REQUEST, **fields})
        call("relay.export", [partner_flow(flow)], str(folder))
    text = folder_text(folder, reply_file)
    assert not [secret for secret in PRIVATE if secret in text]
    assert "client_metadata" not in text and "passthrough" not in text
    request = json.loads((folder / "request.json").read_text())
    assert request["prompt_cache_key"] == "00000000-0000-4000-8000-000000000001"
    assert "/home/person1/src" in request["instructions"]
    assert request["input"][1]["content"][0]["image_url"] == PIXEL
    assert_is_case(folder)


def folder_text(folder: Path, reply_file: str) -> str:
    """All texts of an exported folder, those that stream in pieces too."""
    assert {file.name for file in folder.iterdir()} == {"request.json", "note.md", reply_file}
    texts = [file.read_text() for file in folder.iterdir()]
    return "".join(texts + joined_texts((folder / reply_file).read_bytes()))


def assert_is_case(folder: Path) -> None:
    """The script of tests/cases completes the folder, and the tests of the cases pass."""
    case = Case(folder)
    write([case])
    test_cases.test_case_produces_the_files_of_its_folder(case)
    test_cases.test_case_sends_what_a_strict_provider_accepts(case)
    test_cases.test_reply_of_each_case_obeys_the_laws(case)
    assert (folder / "upstream.json").exists()


@bounded
async def test_exchange_that_cannot_be_a_case_is_refused(tmp_path: Path) -> None:
    async with relay_with_commands(says()) as (_, port, ended_flows, call):
        flow = await record_exchange(port, ended_flows)
        for fields in ({"previous_response_id": "resp_1"}, {"input": [{"id": "msg_1"}]}):
            flow.request.text = json.dumps({"model": "m", **fields})
            with pytest.raises(CommandError, match="It continues a stored response"):
                call("relay.export", [flow], str(tmp_path / "a"))
        flow.request.text = "nothing"
        with pytest.raises(CommandError, match="Its request cannot be read"):
            call("relay.export", [flow], str(tmp_path / "a"))
        with pytest.raises(CommandError, match="One exchange is needed, and here are 0"):
            call("relay.export", [], str(tmp_path / "a"))
        (tmp_path / "file").write_text("")
        flow.request.text = json.dumps(RESPONSES_REQUEST)
        with pytest.raises(CommandError, match="file"):
            call("relay.export", [flow], str(tmp_path / "file"))
        flow.metadata["relay.route"] = "compact"
        with pytest.raises(CommandError, match="this was of /responses/compact"):
            call("relay.export", [flow], str(tmp_path / "a"))
        upstream = partner_flow(flow)
        assert upstream
        flow.metadata["relay.route"], upstream.response = "relay", None
        with pytest.raises(CommandError, match="The provider has not answered"):
            call("relay.export", [flow], str(tmp_path / "a"))
    assert not (tmp_path / "a").exists()


@bounded
async def test_poisoned_record_becomes_one_line_of_text(tmp_path: Path) -> None:
    """Names and headers of a capture, which anybody may have written."""
    evil = "../../x\n# Title\n\x1b[2J`<script>alert(1)</script>sk-live-0123456789"
    folder = tmp_path / "generic" / "poisoned"
    handler = refuses(429, retry_after="7")
    async with relay_with_commands(handler, relay_retries="0") as (_, port, ended_flows, call):
        flow = await record_exchange(port, ended_flows)
        record, upstream = flow.metadata["relay.facts"], partner_flow(flow)
        assert upstream and upstream.response
        flow.metadata["relay.facts"] = {**record, "provider": evil, "model": evil, "status": evil}
        upstream.response.headers["retry-after"] = evil
        call("relay.export", [flow], str(folder))
    assert {file.name for file in tmp_path.rglob("*")} == {
        *("generic", "poisoned", "request.json", "reply.http", "note.md")
    }
    note = (folder / "note.md").read_text()
    assert note.count("\n") == 1 and note.count("`") == 2 and "\x1b" not in note
    head = (folder / "reply.http").read_text().partition("\n\n")[0]
    assert head.startswith("429\nRetry-After: ") and head.count("\n") == 1
    assert "sk-live-0123456789" not in note + head


# Texts

# Secrets, texts that may surround them, and texts that are nearly secrets.
TEXT_PIECES = [
    *(row.example for row in SECRET_PATTERNS),
    *(" ", ", ", "\n", '"', "-", ".", "=", "/", "@", "Bearer ", "bearer ", "eyJ", "sk-", "\\"),
    *("/home/ada/", "ada@example.com", "data:image/png;base64,AAAA", "a" * 40, "0" * 16, UUID),
]
TEXTS = st.lists(st.sampled_from(TEXT_PIECES), max_size=8).map("".join)


def assert_hidden(text: str, exported: str) -> None:
    """Assert that the exported text has no secret that redaction hides.

    The same characters may stay where they are not a secret, such as `abcd1234` without `Bearer`.
    """
    masked = mask_text(text)
    for match in SECRET.finditer(text):
        assert exported.count(match[0]) <= masked.count(match[0])


@given(text=TEXTS)
def test_request_hides_whatever_redaction_hides(text: str) -> None:
    request = {"input": [{"content": [{"text": text}]}]}
    exported = Anonymizer(json.dumps(request), b"").hide_in_value(request)
    assert_hidden(text, exported["input"][0]["content"][0]["text"])


@given(text=TEXTS, cuts=st.lists(st.integers(0, 400), max_size=6))
def test_stream_hides_whatever_redaction_hides_wherever_it_is_cut(
    text: str, cuts: list[int]
) -> None:
    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    data = chat(*(chunk(content=text[start:end]) for start, end in pairwise(edges)))
    exported = Anonymizer("", data).hide_in_reply(data)
    assert_hidden(text, "".join(joined_texts(exported)))
    assert_hidden(data.decode(), exported.decode())


@given(text=TEXTS)
def test_other_replies_hide_whatever_redaction_hides(text: str) -> None:
    for data in (text.encode(), json.dumps({"error": {"message": text}}, indent=1).encode()):
        assert_hidden(data.decode(), Anonymizer("", data).hide_in_reply(data).decode())


def test_picture_before_a_secret_does_not_uncover_it() -> None:
    text = "data:image/png;base64,AAAA/sk-live-0123456789"
    assert "0123456789" not in Anonymizer("", b"").hide_in_text(text)


def test_text_in_pieces_is_hidden_wherever_it_is_cut() -> None:
    hidden = Anonymizer("", PRIVATE_TEXT.encode()).hide_in_text(PRIVATE_TEXT)
    for size in range(1, len(PRIVATE_TEXT) + 1):
        pieces = cut_text(PRIVATE_TEXT, size)
        data = chat(*(chunk(content=piece) for piece in pieces))
        exported = Anonymizer("", data).hide_in_reply(data)
        assert joined_texts(exported) == [hidden]
        [holders] = growing_texts(reply_values(exported))
        assert len(holders) == len(pieces)


@pytest.mark.parametrize("field", ["refusal", "reasoning_content", "custom", "function_call"])
def test_each_growing_field_of_a_chat_stream_is_hidden(field: str) -> None:
    def delta_of(piece: str) -> Json:
        match field:
            case "custom":
                return {"tool_calls": [{"index": 0, "custom": {"input": piece}}]}
            case "function_call":
                return {"function_call": {"arguments": piece}}
        return {field: piece}

    data = chat(*(chunk(**delta_of(piece)) for piece in cut_text(PRIVATE_TEXT)))
    hidden = Anonymizer("", PRIVATE_TEXT.encode()).hide_in_text(PRIVATE_TEXT)
    assert joined_texts(Anonymizer("", data).hide_in_reply(data)) == [hidden]


@pytest.mark.parametrize(
    "data",
    [
        b'data: {"choices" : [ ] , "n": 1e3}\r\n\r\n: comment\ndata: [DONE]\n\n',
        b'\n\nevent: x\ndata: {"a": 1}\n\n\n{"error": "late"}',
        b'{\n "choices" : [ ]\n\n}\n',
        b"<html>Bad gateway</html>",
        b"",
    ],
)
def test_reply_without_private_texts_keeps_its_bytes(data: bytes) -> None:
    assert Anonymizer("", data).hide_in_reply(data) == data


def test_other_lines_of_a_changed_event_stay() -> None:
    data = b'\n: one\nevent: x\ndata: {"text":\ndata: "sk-live-0123456789"}\n\n: two\n\n'
    assert Anonymizer("", data).hide_in_reply(data) == (
        b'\n: one\nevent: x\ndata: {"text":"token1"}\n\n: two\n\n'
    )


def test_secret_in_an_error_behind_the_events_is_hidden() -> None:
    data = b'data: {}\n\n{"error": "no key sk-live-0123456789"}'
    assert Anonymizer("", data).hide_in_reply(data) == b'data: {}\n\n{"error":"no key token1"}'


def test_name_of_a_user_is_hidden_also_if_json_escapes_it() -> None:
    data = json.dumps({"error": {"message": "no file /home/ren\u00e9/x"}}).encode()
    assert b"\\u00e9" in data
    assert Anonymizer("", data).hide_in_reply(data) == (
        b'{"error":{"message":"no file /home/person1/x"}}'
    )


def test_equal_texts_get_equal_placeholders() -> None:
    anonymizer = Anonymizer("/home/bob/x /Users/ann/y C:\\\\Users\\\\bob", b"")
    hidden = anonymizer.hide_in_text("/home/ann, bob and ann; bobby")
    assert hidden == "/home/person1, person2 and person1; bobby"
    hidden = anonymizer.hide_in_text(PRIVATE_TEXT)
    assert anonymizer.hide_in_text(hidden) == hidden


def test_names_of_fields_are_hidden_but_for_users_names() -> None:
    request = {"metadata": {"sk-live-0123456789": 1, "alice@corp.example": 2, "alice": 3}}
    exported = Anonymizer("/home/alice/x", b"").hide_in_value(request)
    assert exported == {"metadata": {"token1": 1, "person1@example.com": 2, "alice": 3}}


def test_private_keys_are_keys_and_other_secrets_tokens() -> None:
    key = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----"
    assert Anonymizer("", b"").hide_in_text(f"{key} sk-live-0123456789") == "key1 token1"


def test_envelopes_of_the_relay_are_opened() -> None:
    sealed = seal_envelope(Envelope("generic", "m", {"text": "at /home/alice/x"}))
    exported = Anonymizer("/home/alice", b"").hide_in_value({"encrypted_content": sealed})
    envelope = open_envelope(exported["encrypted_content"])
    assert envelope and envelope.payload == {"text": "at /home/person1/x"}


def test_names_of_persons_are_hidden_and_names_of_tools_are_not() -> None:
    request: Json = {
        "user": "u-1",
        "safety_identifier": "",
        "messages": [
            {"role": "user", "name": "u-1", "content": "u-1"},
            {"role": "tool", "name": "t"},
        ],
        "tools": [{"parameters": {"properties": {"user": {"type": "string"}}}}],
    }
    exported = Anonymizer("", b"").hide_in_value(request)
    assert exported["user"] == exported["messages"][0]["name"] == "person1"
    assert exported["messages"][1] == request["messages"][1]
    assert exported["tools"] == request["tools"] and exported["safety_identifier"] == ""
    assert person_fields(request["messages"][1]) == []
