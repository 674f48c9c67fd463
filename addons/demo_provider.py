"""The demonstration provider: a small, deterministic Chat Completions upstream on a loopback port
of this process, so that a newcomer sees the whole trip without an account anywhere. It calls the
tools that the prompt names, as in `call exec_command {"cmd": "ls"}`, and reports what they said."""

import contextlib
import json
import re
from collections.abc import Iterator
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.netutil import bind_sockets
from tornado.web import Application, HTTPError, RequestHandler

Json = dict[str, Any]

MODEL = "demo"
WELCOME = """\
This is codex-relay's demonstration provider: no model is behind it. To use a real one, start the \
relay with CODEX_RELAY_UPSTREAM=https://api.example.com/v1 and CODEX_RELAY_API_KEY=… set. Until \
then I can show you tools at work: ask me to `call NAME {"argument": "value"}`."""
MENTION = re.compile(r"\bcall\s+`?([A-Za-z0-9_-]+)`?\s*")
SCRIPT = "functions__exec"  # with Codex's newest models, the others are called inside it
EMPTY: Json = {"array": [], "boolean": False, "integer": 0, "number": 0, "object": {}, "null": None}

_bases: list[str] = []


def url() -> str:
    """Base URL of the running demonstration provider; RuntimeError where none runs."""
    if not _bases:
        raise RuntimeError("the demonstration provider is not running")
    return _bases[-1]


class Demo:
    """Serves while the proxy runs."""

    server: HTTPServer | None = None

    def running(self) -> None:
        routes = [(r"/v1/models", Models), (r"/v1/chat/completions", Completions), (r".*", Other)]
        sockets = bind_sockets(0, "127.0.0.1")  # and no access log: mitmproxy has its own
        self.server = HTTPServer(Application(routes, log_function=lambda handler: None))
        self.server.add_sockets(sockets)
        _bases.append(f"http://127.0.0.1:{sockets[0].getsockname()[1]}/v1")

    def done(self) -> None:
        if self.server:
            self.server.stop()
            _bases.clear()


class Handler(RequestHandler):
    def write_error(self, status_code: int, **kwargs: Any) -> None:
        kind = "invalid_request_error" if status_code < 500 else "server_error"
        self.finish({"error": {"message": self._reason, "type": kind, "param": None, "code": None}})


class Other(Handler):
    def prepare(self) -> None:
        raise HTTPError(404, reason="No such path: there is /v1/models and /v1/chat/completions")


class Models(Handler):
    def get(self) -> None:
        model = {"id": MODEL, "object": "model", "created": 0, "owned_by": "codex-relay"}
        self.finish({"object": "list", "data": [model]})


class Completions(Handler):
    async def post(self) -> None:
        request = checked(self.request.body)
        deltas = list(answer(request["messages"], request.get("tools") or []))
        finish = "tool_calls" if any("tool_calls" in delta for delta in deltas) else "stop"
        usage = usage_of(self.request.body, deltas)
        if not request.get("stream"):
            message = {"role": "assistant", "content": None, **folded(deltas)}
            choice = {"index": 0, "message": message, "finish_reason": finish}
            self.finish(envelope(request, "chat.completion", [choice], usage=usage))
            return
        self.set_header("content-type", "text/event-stream")
        with contextlib.suppress(StreamClosedError):  # whoever leaves misses the rest
            for delta in [{"role": "assistant", "content": ""}, *deltas]:
                await self.send(request, [{"index": 0, "delta": delta, "finish_reason": None}])
            await self.send(request, [{"index": 0, "delta": {}, "finish_reason": finish}])
            if (request.get("stream_options") or {}).get("include_usage"):
                await self.send(request, [], usage=usage)
            await self.finish("data: [DONE]\n\n")

    async def send(self, request: Json, choices: list[Json], **more: Json) -> None:
        chunk = envelope(request, "chat.completion.chunk", choices, **more)
        self.write(f"data: {json.dumps(chunk)}\n\n")
        await self.flush()


def checked(body: bytes) -> Json:
    """The request, or a 400 that names its fault."""
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


def answer(messages: list[Json], tools: list[Json]) -> Iterator[Json]:
    """The reply as deltas: it thinks, speaks, then calls; or it reports what the tools said."""
    turn = next((i for i in range(len(messages), 0, -1) if messages[i - 1]["role"] == "user"), 0)
    results = [text_of(message) for message in messages[turn:] if message["role"] == "tool"]
    if results:
        yield from words("reasoning_content", "The tools have answered.")
        yield from words("content", "\n\n".join(["The tools said:", *results]))
        return
    prompt = text_of(messages[turn - 1]) if turn else ""
    calls = list(mentioned(prompt, {tool["function"]["name"]: tool["function"] for tool in tools}))
    thought = f"I was asked to call {len(calls)} of my {len(tools)} tools."
    yield from words("reasoning_content", thought)
    yield from words("content", "On it." if calls else WELCOME)
    for i, (name, arguments) in enumerate(calls):
        call = {"index": i, "id": f"call_{len(messages)}_{i}", "type": "function"}
        function = {"name": name, "arguments": json.dumps(arguments)}
        yield {"tool_calls": [{**call, "function": function}]}


def mentioned(prompt: str, tools: dict[str, Json]) -> Iterator[tuple[str, Json]]:
    """Each `call NAME {…}` whose NAME is a tool; without JSON, the least that its schema wants."""
    for mention in MENTION.finditer(prompt):
        name, arguments = mention[1], None
        with contextlib.suppress(ValueError):
            arguments, _ = json.JSONDecoder().raw_decode(prompt, mention.end())
        given = arguments if isinstance(arguments, dict) else None
        if tool := tools.get(name):
            yield name, least(tool.get("parameters") or {}) if given is None else given
        elif SCRIPT in tools:
            script = f"text(await tools.{name}({json.dumps(given or {})}));"
            yield SCRIPT, {"input": script}


def least(schema: Json) -> Json:
    properties = schema.get("properties") or {}
    return {name: blank(properties.get(name) or {}) for name in schema.get("required") or []}


def blank(schema: Json) -> Any:
    if schema.get("enum"):
        return schema["enum"][0]
    kind = schema.get("type")
    return EMPTY.get(kind[0] if isinstance(kind, list) else str(kind), "")


def text_of(message: Json) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(part.get("text") or f"[{part.get('type')}]" for part in content)


def words(field: str, text: str) -> list[Json]:
    return [{field: word} for word in re.findall(r"\S+\s*|\s+", text)]


def folded(deltas: list[Json]) -> Json:
    """The message that the deltas make: texts and lists add up alike."""
    message: Json = {}
    for delta in deltas:
        for field, value in delta.items():
            message[field] = message[field] + value if field in message else value
    return message


def usage_of(body: bytes, deltas: list[Json]) -> Json:
    """Invented, but never zero: four bytes a token in, a delta a token out."""
    asked = len(body) // 4 + 1
    thought = sum("reasoning_content" in delta for delta in deltas)
    return {
        "prompt_tokens": asked,
        "completion_tokens": len(deltas),
        "total_tokens": asked + len(deltas),
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": thought},
    }


def envelope(request: Json, kind: str, choices: list[Json], **more: Json) -> Json:
    head = {"id": "chatcmpl-demo", "object": kind, "created": 0}
    return {**head, "model": request.get("model") or MODEL, "choices": choices, **more}
