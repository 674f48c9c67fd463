"""The demonstration provider: a small, deterministic Chat Completions server in this process, on a
loopback port. With it, a newcomer can try the relay without an account anywhere. It calls the tools
that the prompt names, as in `call exec_command {"cmd": "ls"}`, and repeats their output."""

import contextlib
import json
import re
from collections.abc import Iterator
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.netutil import bind_sockets
from tornado.web import Application, HTTPError, RequestHandler

type Json = dict[str, Any]

MODEL = "demo"
WELCOME = """\
This is mitmcodex's demonstration provider: no model is behind it. To use a real one, run \
`mitmcodex setup`, or start the relay with CODEX_RELAY_UPSTREAM=https://api.example.com/v1 and \
CODEX_RELAY_API_KEY=… set. Until then I can show you tools at work: ask me to \
`call NAME {"argument": "value"}`."""
MENTION = re.compile(r"\bcall\s+`?([A-Za-z0-9_-]+)`?\s*")
# Codex gives its newest models this one tool: it runs a script, which calls all other tools.
SCRIPT_TOOL = "functions__exec"
EMPTY_VALUES: Json = {
    "array": [],
    "boolean": False,
    "integer": 0,
    "number": 0,
    "object": {},
    "null": None,
}

_base_urls: list[str] = []


def demo_url() -> str:
    """Base URL of the running demonstration provider. Raises RuntimeError if none runs."""
    if not _base_urls:
        raise RuntimeError("the demonstration provider is not running")
    return _base_urls[-1]


class DemoProvider:
    """The addon: serves from the start of the proxy to its end."""

    server: HTTPServer | None = None

    def running(self) -> None:
        routes = [
            (r"/v1/models", ModelsHandler),
            (r"/v1/chat/completions", CompletionsHandler),
            (r".*", UnknownPathHandler),
        ]
        sockets = bind_sockets(0, "127.0.0.1")
        # No access log: mitmproxy's log has these requests already.
        self.server = HTTPServer(Application(routes, log_function=lambda handler: None))
        self.server.add_sockets(sockets)
        _base_urls.append(f"http://127.0.0.1:{sockets[0].getsockname()[1]}/v1")

    def done(self) -> None:
        if self.server:
            self.server.stop()
            _base_urls.clear()


class DemoHandler(RequestHandler):
    """Answers errors in OpenAI's form."""

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error_type = "invalid_request_error" if status_code < 500 else "server_error"
        error = {"message": self._reason, "type": error_type, "param": None, "code": None}
        self.finish({"error": error})


class UnknownPathHandler(DemoHandler):
    def prepare(self) -> None:
        raise HTTPError(404, reason="No such path: there is /v1/models and /v1/chat/completions")


class ModelsHandler(DemoHandler):
    def get(self) -> None:
        model = {"id": MODEL, "object": "model", "created": 0, "owned_by": "mitmcodex"}
        self.finish({"object": "list", "data": [model]})


class CompletionsHandler(DemoHandler):
    async def post(self) -> None:
        request = parse_chat_request(self.request.body)
        deltas = list(reply_deltas(request["messages"], request.get("tools") or []))
        finish_reason = "tool_calls" if any("tool_calls" in delta for delta in deltas) else "stop"
        usage = invented_usage(self.request.body, deltas)
        if request.get("stream"):
            with contextlib.suppress(StreamClosedError):  # the client has disconnected
                await self.stream_chunks(request, deltas, finish_reason, usage)
            return
        message = {"role": "assistant", "content": None, **join_deltas(deltas)}
        choice = {"index": 0, "message": message, "finish_reason": finish_reason}
        self.finish(chat_object(request, "chat.completion", [choice], usage=usage))

    async def stream_chunks(
        self, request: Json, deltas: list[Json], finish_reason: str, usage: Json
    ) -> None:
        self.set_header("content-type", "text/event-stream")
        for delta in [{"role": "assistant", "content": ""}, *deltas]:
            await self.send_chunk(request, [{"index": 0, "delta": delta, "finish_reason": None}])
        last_choice = {"index": 0, "delta": {}, "finish_reason": finish_reason}
        await self.send_chunk(request, [last_choice])
        if (request.get("stream_options") or {}).get("include_usage"):
            await self.send_chunk(request, [], usage=usage)
        await self.finish("data: [DONE]\n\n")

    async def send_chunk(self, request: Json, choices: list[Json], **fields: Json) -> None:
        chunk = chat_object(request, "chat.completion.chunk", choices, **fields)
        self.write(f"data: {json.dumps(chunk)}\n\n")
        await self.flush()


def parse_chat_request(body: bytes) -> Json:
    """The request of this body. Raises HTTPError 400, whose reason names the wrong field."""
    try:
        request = json.loads(body)
    except ValueError:
        raise HTTPError(400, reason="body: not JSON") from None
    if not isinstance(request, dict) or not isinstance(request.get("messages"), list):
        raise HTTPError(400, reason="messages: not a list")
    for i, message in enumerate(request["messages"]):
        if not isinstance(message, dict):
            raise HTTPError(400, reason=f"messages[{i}]: not an object")
        if message.get("role") not in ("system", "user", "assistant", "tool"):
            raise HTTPError(400, reason=f"messages[{i}].role: unknown")
    for i, tool in enumerate(request.get("tools") or []):
        match tool:
            case {"type": "function", "function": {"name": str()}}:
                pass
            case _:
                raise HTTPError(400, reason=f"tools[{i}]: not a function with a name")
    return request


def reply_deltas(messages: list[Json], tools: list[Json]) -> Iterator[Json]:
    """The reply as deltas: reasoning, text, then calls; or the output of tools that were called."""
    roles = [message["role"] for message in messages]
    prompt_end = next((i for i in range(len(roles), 0, -1) if roles[i - 1] == "user"), 0)
    outputs = [message_text(m) for m in messages[prompt_end:] if m["role"] == "tool"]
    if outputs:
        yield from text_deltas("reasoning_content", "The tools have answered.")
        yield from text_deltas("content", "\n\n".join(["The tools said:", *outputs]))
        return
    prompt = message_text(messages[prompt_end - 1]) if prompt_end else ""
    functions = {tool["function"]["name"]: tool["function"] for tool in tools}
    calls = list(prompted_calls(prompt, functions))
    call_text = f"{len(calls)} of my {len(tools)} tools" if calls else "no tool"
    reasoning = f"I was asked to call {call_text}."
    yield from text_deltas("reasoning_content", reasoning)
    yield from text_deltas("content", "On it." if calls else WELCOME)
    for i, (name, arguments) in enumerate(calls):
        call = {"index": i, "id": f"call_{len(messages)}_{i}", "type": "function"}
        function = {"name": name, "arguments": json.dumps(arguments)}
        yield {"tool_calls": [{**call, "function": function}]}


def prompted_calls(prompt: str, functions: dict[str, Json]) -> Iterator[tuple[str, Json]]:
    """Name and arguments of each `call NAME {…}` in the prompt whose NAME is a tool.

    If no JSON object follows the name, the arguments are the least that the tool's schema requires.
    """
    for mention in MENTION.finditer(prompt):
        name, arguments = mention[1], None
        with contextlib.suppress(ValueError):
            decoded, _ = json.JSONDecoder().raw_decode(prompt, mention.end())
            arguments = decoded if isinstance(decoded, dict) else None
        if function := functions.get(name):
            schema = function.get("parameters") or {}
            yield name, minimal_arguments(schema) if arguments is None else arguments
        elif SCRIPT_TOOL in functions:
            script = f"text(await tools.{name}({json.dumps(arguments or {})}));"
            yield SCRIPT_TOOL, {"input": script}


def minimal_arguments(schema: Json) -> Json:
    """The required properties of a tool's parameters, each with an empty value."""
    properties, required = schema.get("properties"), schema.get("required")
    schemas = properties if isinstance(properties, dict) else {}
    names = required if isinstance(required, list) else []
    return {name: empty_value(schemas.get(name)) for name in names if isinstance(name, str)}


def empty_value(schema: object) -> Any:
    """The first value of an enum, else the empty value of the first type."""
    match schema:
        case {"enum": [first, *_]}:
            return first
        case {"type": str(first_type) | [str(first_type), *_]}:
            return EMPTY_VALUES.get(first_type, "")
    return ""


def message_text(message: Json) -> str:
    """The text of a message, with `[type]` for each part that is not text."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(part.get("text") or f"[{part.get('type')}]" for part in content)


def text_deltas(field: str, text: str) -> list[Json]:
    """One delta for each word."""
    return [{field: word} for word in re.findall(r"\S+\s*|\s+", text)]


def join_deltas(deltas: list[Json]) -> Json:
    """The fields of the message that the deltas add up to, by joining texts and lists."""
    message: Json = {}
    for delta in deltas:
        for field, value in delta.items():
            message[field] = message[field] + value if field in message else value
    return message


def invented_usage(body: bytes, deltas: list[Json]) -> Json:
    """A usage that is never zero: a token for four bytes of the request, and one for each delta."""
    prompt_tokens = len(body) // 4 + 1
    reasoning_tokens = sum("reasoning_content" in delta for delta in deltas)
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": len(deltas),
        "total_tokens": prompt_tokens + len(deltas),
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reasoning_tokens},
    }


def chat_object(request: Json, object_type: str, choices: list[Json], **fields: Json) -> Json:
    """A completion, or a chunk of one, with these choices."""
    base = {"id": "chatcmpl-demo", "object": object_type, "created": 0}
    return {**base, "model": request.get("model") or MODEL, "choices": choices, **fields}
