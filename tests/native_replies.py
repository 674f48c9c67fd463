"""The scripted replies of tests/replies.py, written by a server that speaks /responses itself."""

import json
from collections.abc import Iterator
from typing import Any

from tests.replies import Call, Die, Hold, Pause, Raw, Reply, Say, Think

Json = dict[str, Any]
USAGE = {  # without a total, as some servers send it
    "input_tokens": 120,
    "input_tokens_details": {"cached_tokens": 100},
    "output_tokens": 30,
    "output_tokens_details": {"reasoning_tokens": 10},
}


def stream(model: str, reply: Reply) -> Iterator[bytes | Pause | Hold | Die]:
    """The bytes of a reply; nothing follows a `Die`."""
    yield _event("response.created", response=_response(model, "in_progress", []))
    items: list[Json] = []
    for part in reply.parts:
        if isinstance(part, Raw):
            yield part.data
        elif isinstance(part, Pause | Hold | Die):
            yield part
        elif item := _item(part, len(items), reply):
            yield from _item_events(item, part, len(items), reply.style.piece)
            items.append(item)
        if isinstance(part, Die):
            return
    yield _event("response.completed", response=_response(model, "completed", items, usage=USAGE))


def response(model: str, reply: Reply) -> Json:
    """The same reply in one body."""
    items = [_item(part, n, reply) for n, part in enumerate(reply.parts)]
    return _response(model, "completed", [item for item in items if item], usage=USAGE)


def _item(part: object, n: int, reply: Reply) -> Json | None:
    id = f"{reply.number:02d}_{n}"
    match part:
        case Think(text):
            content = [{"type": "reasoning_text", "text": text}]
            fields = {"summary": [], "content": content, "encrypted_content": "sealed-here"}
            return {"type": "reasoning", "id": f"rs_{id}", **fields}
        case Say(text):
            content = [{"type": "output_text", "text": text, "annotations": []}]
            return {"type": "message", "id": f"msg_{id}", "role": "assistant", "content": content}
        case Call(name, arguments, call_id):
            call = {"call_id": call_id or f"call_{id}", "name": name, "arguments": arguments}
            return {"type": "function_call", "id": f"fc_{id}", **call}
    return None


def _item_events(item: Json, part: object, n: int, piece: int) -> Iterator[bytes]:
    at = {"item_id": item["id"], "output_index": n}
    empty = {"arguments": ""} if "arguments" in item else {"content": []}
    yield _event("response.output_item.added", output_index=n, item={**item, **empty})
    name, text = "function_call_arguments", str(item.get("arguments"))
    if isinstance(part, Say | Think):
        name = "output_text" if isinstance(part, Say) else "reasoning_text"
        at, text = {**at, "content_index": 0}, part.text
    for start in range(0, len(text), piece):
        yield _event(f"response.{name}.delta", **at, delta=text[start : start + piece])
    yield _event("response.output_item.done", output_index=n, item=item)


def _event(type: str, **fields: Any) -> bytes:
    data = json.dumps({"type": type, **fields}, ensure_ascii=False)
    return f"event: {type}\ndata: {data}\n\n".encode()


def _response(model: str, status: str, output: list[Json], **fields: Any) -> Json:
    head = {"id": "resp_fake", "object": "response", "created_at": 1700000000, "model": model}
    return {**head, "status": status, "output": output, **fields}
