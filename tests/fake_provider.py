"""A strict provider on loopback, of Chat Completions and of /responses, scripted by the test.

    provider.reply(think("Hm."), say("Hello"))                # one reply, queued
    provider.reply(call("exec_command", cmd="ls"), style=OLLAMA)
    provider.reply(error(429, retry_after=1))
    provider.reply(say("par"), RST)                           # dies in the middle

Each request takes the first queued reply whose `when` accepts it, and is recorded. What
tests/strict_chat.py or strict_responses.py refuses is answered with 400 and kept in `refusals`."""

import contextlib
import gzip
import json
import select
import socket
import struct
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests import native_replies, strict_responses
from tests.replies import (
    DEEPSEEK,
    Die,
    Error,
    Hold,
    Part,
    Pause,
    Reply,
    Style,
    completion,
    error,
    stream,
)
from tests.strict_chat import Rules, leak, refusal

NATIVE = "/v1/responses"


@dataclass
class Request:
    """What one client sent. `gone` is when it closed the connection under a running reply."""

    method: str
    path: str
    headers: dict[str, str]
    raw: bytes
    at: float
    gone: float | None = None
    ended: bool = False  # the reply went out to its end

    @property
    def body(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.raw)
        return parsed

    @property
    def messages(self) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = self.body["messages"]
        return messages

    @property
    def tools(self) -> dict[str, dict[str, Any]]:
        return {tool["function"]["name"]: tool["function"] for tool in self.body.get("tools", [])}

    @property
    def prompt(self) -> str:
        """The text of the last user message."""
        return texts([m for m in self.messages if m["role"] == "user"][-1])

    @property
    def outputs(self) -> list[str]:
        """The texts of the tool messages, in order."""
        return [texts(m) for m in self.messages if m["role"] == "tool"]

    @property
    def items(self) -> list[dict[str, Any]]:
        """The input of a request to /responses."""
        items: list[dict[str, Any]] = self.body["input"]
        return items

    @property
    def system(self) -> str:
        return "\n".join(texts(m) for m in self.messages if m["role"] == "system")


def texts(message: dict[str, Any]) -> str:
    """A message's text, whichever shape its content has."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content)


def images(message: dict[str, Any]) -> list[str]:
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    return [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]


@dataclass(frozen=True)
class Scripted:
    parts: tuple[Part | Callable[[Request], Part], ...]  # a function sees the request first
    style: Style
    number: int
    when: Callable[[Request], bool]
    stream: bool | None  # None: as the client asked
    compress: bool
    before: float  # seconds until the head

    def reply_to(self, request: Request) -> Reply:
        parts = (part(request) if callable(part) else part for part in self.parts)
        return Reply(tuple(parts), self.style, self.number)


class FakeProvider:
    """The server and its script. `url` ends in /v1; `key` is the only key it takes."""

    base = "/v1"
    paths: tuple[str, ...] = ("/v1/chat/completions", NATIVE)

    def __init__(self, key: str = "provider-key-0001") -> None:
        self.key: str | None = key
        self._given = key
        self._lock = threading.Lock()
        self.reset()
        self._server = Server(("127.0.0.1", 0), self.handler())
        self._server.provider = self
        self.url = f"http://127.0.0.1:{self._server.server_port}{self.base}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def reset(self) -> None:
        """Forgets script, records and rules."""
        self.key = self._given
        self.models = ["fake-model", "gpt-5.5"]  # stable: clients keep the list
        self.rules = Rules()
        self.style = DEEPSEEK
        self.requests: list[Request] = []
        self.refusals: list[str] = []
        self.replies: list[Scripted] = []
        self._count = 0

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up()
        self._server.server_close()

    def reply(
        self,
        *parts: Part | Callable[[Request], Part],
        style: Style | None = None,
        when: Callable[[Request], bool] = lambda request: True,
        stream: bool | None = None,
        compress: bool = False,
        before: float = 0,
    ) -> None:
        """Queues one reply."""
        with self._lock:
            self._count += 1
            number, style = self._count, style or self.style
            self.replies.append(Scripted(parts, style, number, when, stream, compress, before))

    def verify(self) -> None:
        """Fails the test for what it did not notice itself: refusals, replies nobody asked for."""
        assert self.refusals == []
        assert self.replies == []

    @property
    def chats(self) -> list[Request]:
        return [request for request in self.requests if request.method == "POST"]

    def wait_for(self, condition: Callable[[], object], seconds: float = 5) -> None:
        """Waits until the condition holds; a test looks at what another thread records."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.01)

    def take(self, request: Request) -> Scripted | Error:
        """The reply to a request, or the error that it gets instead."""
        with self._lock:
            self.requests.append(request)
            if problem := self.judge(request):
                return problem
            for reply in self.replies:
                if reply.when(request):
                    self.replies.remove(reply)
                    return reply
            return self.refuse("messages: a request for which the test has no reply")

    def refuse(self, fault: str) -> Error:
        """The answer to a request with a fault, which is kept."""
        self.refusals.append(fault)
        return error(400, fault, code="invalid_request_error")

    # what differs from service to service

    def handler(self) -> type["Handler"]:
        return Handler

    def judge(self, request: Request) -> Error | None:
        """The answer to a request that is refused."""
        fault = leak(request.headers, self.key, self.rules)
        try:
            body = json.loads(request.raw)
            native = request.path == NATIVE
            found = strict_responses.refusal(body) if native else refusal(body, self.rules)
            fault = fault or found
        except ValueError:
            fault = "body: not JSON"
        return self.refuse(fault) if fault else None

    def steps(self, request: Request, reply: Reply) -> Iterator[bytes | Pause | Hold | Die]:
        """A reply as it is streamed."""
        model = request.body["model"]
        if request.path == NATIVE:
            return native_replies.stream(model, reply)
        options = request.body.get("stream_options", {})
        return stream(model, reply, options.get("include_usage", False))

    def whole(self, request: Request, reply: Reply) -> dict[str, Any]:
        """The same in one body."""
        make = native_replies.response if request.path == NATIVE else completion
        return make(request.body["model"], reply)

    def heads(self, request: Request) -> list[tuple[str, str]]:
        """More headers of the answer to a request."""
        return []


@contextlib.contextmanager
def running() -> Iterator[FakeProvider]:
    """A provider for the time of a `with` block, verified at its end."""
    provider = FakeProvider()
    try:
        yield provider
        provider.verify()
    finally:
        provider.close()


class Server(ThreadingHTTPServer):
    request_queue_size = 128  # bursts of connections must not be refused
    provider: FakeProvider

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._open: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        if request.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER):
            self.close_request(request)  # a reset: no polite end before it
        else:
            super().shutdown_request(request)

    def hang_up(self) -> None:
        """Ends the connections that clients keep alive, and so the threads that serve them."""
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients may leave when they like; anything else is a fault of this file, and is shown."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server
    sent: Request  # the one that is being answered

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        provider = self.server.provider
        request = self._request()
        provider.requests.append(request)
        if fault := leak(request.headers, provider.key, provider.rules):
            provider.refusals.append(fault)
            self._send(error(401, fault))
        elif self.path.partition("?")[0] != "/v1/models":
            self._send(error(404, f"no such path: {self.path}"))
        else:
            data = [
                {"id": model, "object": "model", "created": 1700000000, "owned_by": "fake"}
                for model in provider.models
            ]
            self._json({"object": "list", "data": data})

    def do_POST(self) -> None:
        request = self._request()
        if self.path not in self.server.provider.paths:
            self.server.provider.refusals.append(f"path: {self.path}")
            self._send(error(404, f"no such path: {self.path}"))
            return
        reply = self.server.provider.take(request)
        if isinstance(reply, Error):
            self._send(reply)
            return
        try:
            self._answer(request, reply)
            request.ended = True
        except ConnectionError:
            request.gone = time.monotonic()
            self.close_connection = True

    def _answer(self, request: Request, scripted: Scripted) -> None:
        self._sleep(scripted.before)
        reply = scripted.reply_to(request)
        streaming = request.body.get("stream", False)
        first = next(iter(reply.parts), None)
        if isinstance(first, Error):
            self._send(first)
        elif isinstance(first, Die):
            self._die(first)
        elif streaming if scripted.stream is None else scripted.stream:
            self._stream(request, reply, scripted.compress)
        else:
            for part in reply.parts:
                if isinstance(part, Pause):
                    self._sleep(part.seconds)
            self._json(self.server.provider.whole(request, reply), scripted.compress)

    def _request(self) -> Request:
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.sent = Request(self.command, self.path, headers, raw, time.monotonic())
        return self.sent

    def _stream(self, request: Request, reply: Reply, compress: bool) -> None:
        packer = zlib.compressobj(wbits=31) if compress else None
        self.send_response(200)
        self.send_header("content-type", "text/event-stream; charset=utf-8")
        self.send_header("transfer-encoding", "chunked")
        if packer:
            self.send_header("content-encoding", "gzip")
        for name, value in self.server.provider.heads(request):
            self.send_header(name, value)
        self.end_headers()
        for step in self.server.provider.steps(request, reply):
            match step:
                case Pause(seconds):
                    self._sleep(seconds)
                case Hold(go_on):
                    go_on.wait(30)
                case Die():
                    self._die(step)
                    return
                case bytes(data):
                    if packer:
                        data = packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH)
                    self._chunk(data)
        if packer:
            self._chunk(packer.flush())
        self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, data: bytes) -> None:
        if data:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def _sleep(self, seconds: float) -> None:
        """Sleeps, unless the client leaves meanwhile."""
        if select.select([self.connection], [], [], seconds)[0]:
            if not self.connection.recv(1, socket.MSG_PEEK):
                raise ConnectionAbortedError
            time.sleep(seconds)

    def _die(self, how: Die) -> None:
        if how.reset:
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True

    def _send(self, problem: Error) -> None:
        self._body(problem.status, problem.body, problem.headers)

    def _json(self, value: Any, compress: bool = False) -> None:
        data = json.dumps(value).encode()
        if compress:
            self._body(200, gzip.compress(data), {"content-encoding": "gzip"})
        else:
            self._body(200, data, {})

    def _body(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"content-type": "application/json", **headers}.items():
            self.send_header(name, value)
        for name, value in self.server.provider.heads(self.sent):
            self.send_header(name, value)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
