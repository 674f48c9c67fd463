"""The replies of tests/replies.py, as the ChatGPT backend writes them: each item with all
of its events, after the backend's own event of quotas."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from tests.native_replies import USAGE
from tests.replies import (
    Call,
    Custom,
    Die,
    Fail,
    Finish,
    Hold,
    Pause,
    Picture,
    Raw,
    Reply,
    Say,
    Think,
)

Json = dict[str, Any]
PIECE = 7  # characters a delta


def seal(account: str, id: str, text: str) -> str:
    """Encrypted content, which only this account may send back, and only with this item."""
    digest = hashlib.sha256(f"{account}\0{id}\0{text}".encode()).hexdigest()
    return f"gAAAAA-{digest[:16]}-{text.encode().hex()}"


def is_sealed_by(account: str, id: str, sealed: str) -> bool:
    _, _, text = sealed.rpartition("-")
    try:
        return sealed == seal(account, id, bytes.fromhex(text).decode())
    except ValueError:
        return False


def stream(
    model: str, reply: Reply, account: str, quota: Json
) -> Iterator[bytes | Pause | Hold | Die]:
    yield _event(0, "codex.rate_limits", **quota)
    number, items = 0, []
    for event in ("response.created", "response.in_progress"):
        yield _event(number, event, response=_response(model, "in_progress", [], reply))
        number += 1
    for part in reply.parts:
        if isinstance(part, Raw):
            yield part.data
        elif isinstance(part, Pause | Hold | Die):
            yield part
        elif isinstance(part, Fail):
            yield _error_event(number, part, _response(model, "failed", items, reply))
        elif item := _item(part, len(items), reply, account):
            for name, fields in _item_events(item, len(items)):
                yield _event(number, name, **fields)
                number += 1
            items.append(item)
        if isinstance(part, Die | Fail):
            return
    yield _event(number, *_closing_event(model, items, reply))


def response(model: str, reply: Reply, account: str) -> Json:
    """The same reply in one body."""
    items = [_item(part, n, reply, account) for n, part in enumerate(reply.parts)]
    return _response(model, "completed", [item for item in items if item], reply, usage=_usage())


def _closing_event(model: str, items: list[Json], reply: Reply) -> tuple[str, Json]:
    """The closing event: a `Finish` names the reason why it is incomplete."""
    reason = next((part.reason for part in reply.parts if isinstance(part, Finish)), None)
    status = "incomplete" if reason else "completed"
    fields = {"usage": _usage(), "incomplete_details": {"reason": reason} if reason else None}
    return f"response.{status}", {"response": _response(model, status, items, reply, **fields)}


def _error_event(number: int, part: Fail, response: Json) -> bytes:
    if part.event == "error":
        return _event(number, "error", {"error": part.error, "status_code": 429})
    return _event(number, part.event, {"response": {**response, "error": part.error}})


def _item(part: object, n: int, reply: Reply, account: str) -> Json | None:
    id = f"{reply.number:02d}_{n}"
    match part:
        case Think(text):
            item = {"type": "reasoning", "id": f"rs_{id}", "summary": []}
            item["summary"] = [{"type": "summary_text", "text": text}]
            return item | {"encrypted_content": seal(account, f"rs_{id}", text)}
        case Say(text):
            part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
            head = {"type": "message", "id": f"msg_{id}", "role": "assistant"}
            return {**head, "status": "completed", "content": [part]}
        case Call("tool_search", arguments, call_id):
            call = {"call_id": call_id or f"call_{id}", "arguments": json.loads(arguments)}
            head = {"type": "tool_search_call", "id": f"tsc_{id}", "execution": "client"}
            return {**head, "status": "completed", **call}
        case Call(name, arguments, call_id):
            scope, _, name = name.rpartition(".")
            scoped = {"namespace": scope} if scope else {}
            call = {"call_id": call_id or f"call_{id}", "name": name, "arguments": arguments}
            call |= scoped
            return {"type": "function_call", "id": f"fc_{id}", "status": "completed", **call}
        case Custom(name, input, call_id):
            call = {"call_id": call_id or f"call_{id}", "name": name, "input": input}
            return {"type": "custom_tool_call", "id": f"ctc_{id}", "status": "completed", **call}
        case Picture(data):
            image = {"result": data, "output_format": "png", "status": "completed"}
            return {"type": "image_generation_call", "id": f"ig_{id}", **image}
    return None


def _item_events(item: Json, n: int) -> Iterator[tuple[str, Json]]:
    at = {"item_id": item["id"], "output_index": n}
    begun = {name: value for name, value in item.items() if name != "result"}
    empty: Json = {"status": "in_progress"} if "status" in item else {}
    inner: Iterator[tuple[str, Json]] = iter(())
    match item:
        case {"type": "reasoning", "summary": [part]}:
            empty |= {"summary": []}
            inner = _part_events("reasoning_summary", "summary_index", part)
        case {"type": "message", "content": [part]}:
            empty |= {"content": []}
            inner = _part_events("", "content_index", part)
        case {"arguments": dict()}:
            pass
        case {"arguments": text}:
            empty |= {"arguments": ""}
            inner = _text_events("function_call_arguments", "arguments", text, name=item["name"])
        case {"input": text}:
            empty |= {"input": ""}
            inner = _text_events("custom_tool_call_input", "input", text)
        case _:
            inner = iter([("response.image_generation_call.generating", {})])
    yield "response.output_item.added", {"output_index": n, "item": begun | empty}
    for name, fields in inner:
        yield name, at | fields
    yield "response.output_item.done", {"output_index": n, "item": item}


def _part_events(name: str, index: str, part: Json) -> Iterator[tuple[str, Json]]:
    at = {index: 0}
    whole, text = f"{name or 'content'}_part", f"{name or 'output'}_text"
    yield f"response.{whole}.added", {**at, "part": {**part, "text": ""}}
    for event, fields in _text_events(text, "text", part["text"]):
        yield event, at | fields
    yield f"response.{whole}.done", {**at, "part": part}


def _text_events(event: str, field: str, text: str, **done: str) -> Iterator[tuple[str, Json]]:
    logprobs: Json = {"logprobs": []} if event == "output_text" else {}
    for start in range(0, len(text), PIECE):
        yield f"response.{event}.delta", {"delta": text[start : start + PIECE], **logprobs}
    yield f"response.{event}.done", {field: text, **logprobs, **done}


def _event(sequence: int, type: str, fields: Json | None = None, **more_fields: Any) -> bytes:
    number = {"sequence_number": sequence} if type.startswith("response.") else {}
    data = json.dumps({"type": type, **number, **(fields or {}), **more_fields}, ensure_ascii=False)
    return f"event: {type}\ndata: {data}\n\n".encode()


def _usage() -> Json:
    cached = {**USAGE["input_tokens_details"], "cache_write_tokens": 0}
    total = USAGE["input_tokens"] + USAGE["output_tokens"]
    return {**USAGE, "input_tokens_details": cached, "total_tokens": total}


def _response(model: str, status: str, output: list[Json], reply: Reply, **fields: Any) -> Json:
    id = f"resp_{reply.number:04d}"
    head = {"id": id, "object": "response", "created_at": 1700000000, "model": model}
    rest = {"error": None, "incomplete_details": None, "store": False, "usage": None}
    tools = {"tools": [], "tool_choice": "auto", "parallel_tool_calls": True}
    return {**head, "status": status, "output": output, **rest, **tools, **fields}
