"""A strict provider of Chat Completions and /responses on loopback; tests queue its replies.

    provider.reply(think("Hm."), say("Hello"))                # one reply, queued
    provider.reply(call("exec_command", cmd="ls"), style=OLLAMA)
    provider.reply(error(429, retry_after=1))
    provider.reply(say("par"), RST)                           # the connection breaks in the middle

Each request is recorded and gets the first queued reply whose `when` accepts it. Requests that
tests/strict_chat.py or strict_responses.py refuse get a 400, and stand in `refusals`.
"""

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
from tests.strict_chat import Rules, body_fault, header_fault

NATIVE = "/v1/responses"


@dataclass
class ReceivedRequest:
    """A request, and when the client closed the connection during the reply, if it did."""

    method: str
    path: str
    headers: dict[str, str]
    raw: bytes
    received_at: float
    client_left_at: float | None = None
    finished: bool = False  # the whole reply was sent

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
        return text_of([m for m in self.messages if m["role"] == "user"][-1])

    @property
    def outputs(self) -> list[str]:
        """The texts of the tool messages, in order."""
        return [text_of(m) for m in self.messages if m["role"] == "tool"]

    @property
    def items(self) -> list[dict[str, Any]]:
        """The input of a request to /responses."""
        items: list[dict[str, Any]] = self.body["input"]
        return items

    @property
    def system(self) -> str:
        return "\n".join(text_of(m) for m in self.messages if m["role"] == "system")


def text_of(message: dict[str, Any]) -> str:
    """The text of a message, in either form of its content."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content)


def image_urls(message: dict[str, Any]) -> list[str]:
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    return [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]


@dataclass(frozen=True)
class ScriptedReply:
    parts: tuple[
        Part | Callable[[ReceivedRequest], Part], ...
    ]  # a function makes its part from the request
    style: Style
    number: int
    when: Callable[[ReceivedRequest], bool]
    stream: bool | None  # None: as the request says
    compress: bool
    delay: float  # s before the head of the reply

    def reply_to(self, request: ReceivedRequest) -> Reply:
        parts = (part(request) if callable(part) else part for part in self.parts)
        return Reply(tuple(parts), self.style, self.number)


class FakeProvider:
    """The server and its queued replies. `url` ends in /v1; the server accepts no key but `key`."""

    base = "/v1"
    paths: tuple[str, ...] = ("/v1/chat/completions", NATIVE)

    def __init__(self, key: str = "provider-key-0001", port: int = 0) -> None:
        self.key: str | None = key
        self._initial_key = key
        self._lock = threading.Lock()
        self.reset()
        self._server = ProviderServer(("127.0.0.1", port), self.handler_class())
        self._server.provider = self
        self.url = f"http://127.0.0.1:{self._server.server_port}{self.base}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def reset(self) -> None:
        """Forget queued replies, records and rules."""
        self.key = self._initial_key
        self.models = ["fake-model", "gpt-5.5"]  # the same in all tests, as clients cache the list
        self.rules = Rules()
        self.style = DEEPSEEK
        self.requests: list[ReceivedRequest] = []
        self.refusals: list[str] = []
        self.replies: list[ScriptedReply] = []
        self._count = 0

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up()
        self._server.server_close()

    def reply(
        self,
        *parts: Part | Callable[[ReceivedRequest], Part],
        style: Style | None = None,
        when: Callable[[ReceivedRequest], bool] = lambda request: True,
        stream: bool | None = None,
        compress: bool = False,
        delay: float = 0,
    ) -> None:
        """Queue one reply."""
        with self._lock:
            self._count += 1
            number, style = self._count, style or self.style
            self.replies.append(ScriptedReply(parts, style, number, when, stream, compress, delay))

    def verify(self) -> None:
        """Fail the test if a request was refused or a queued reply is unused."""
        assert self.refusals == []
        assert self.replies == []

    @property
    def posted_requests(self) -> list[ReceivedRequest]:
        return [request for request in self.requests if request.method == "POST"]

    def wait_until(self, condition: Callable[[], object], seconds: float = 5) -> None:
        """Wait until the condition holds; another thread records the requests."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.01)

    def next_reply(self, request: ReceivedRequest) -> ScriptedReply | Error:
        """Record the request and take its reply from the queue, or make its error."""
        with self._lock:
            self.requests.append(request)
            if problem := self.find_refusal(request):
                return problem
            for reply in self.replies:
                if reply.when(request):
                    self.replies.remove(reply)
                    return reply
            return self.record_refusal("messages: a request for which the test has no reply")

    def record_refusal(self, fault: str) -> Error:
        """The error for a request with this fault, which is recorded."""
        self.refusals.append(fault)
        return error(400, fault, code="invalid_request_error")

    # overridden by other services

    def handler_class(self) -> type["ProviderHandler"]:
        return ProviderHandler

    def find_refusal(self, request: ReceivedRequest) -> Error | None:
        """The error for a request that is refused, or None."""
        fault = header_fault(request.headers, self.key, self.rules)
        try:
            body = json.loads(request.raw)
            native = request.path == NATIVE
            wrong = strict_responses.body_fault(body) if native else body_fault(body, self.rules)
            fault = fault or wrong
        except ValueError:
            fault = "body: not JSON"
        return self.record_refusal(fault) if fault else None

    def stream_steps(
        self, request: ReceivedRequest, reply: Reply
    ) -> Iterator[bytes | Pause | Hold | Die]:
        """The steps of a streamed reply."""
        model = request.body["model"]
        if request.path == NATIVE:
            return native_replies.stream(model, reply)
        options = request.body.get("stream_options", {})
        return stream(model, reply, options.get("include_usage", False))

    def whole_body(self, request: ReceivedRequest, reply: Reply) -> dict[str, Any]:
        """The same reply in one body."""
        make = native_replies.response if request.path == NATIVE else completion
        return make(request.body["model"], reply)

    def extra_headers(self, request: ReceivedRequest) -> list[tuple[str, str]]:
        """Headers of every answer beside the usual ones."""
        return []


@contextlib.contextmanager
def running_provider() -> Iterator[FakeProvider]:
    """A provider for a `with` block, verified at its end."""
    provider = FakeProvider()
    try:
        yield provider
        provider.verify()
    finally:
        provider.close()


class ProviderServer(ThreadingHTTPServer):
    request_queue_size = 128  # so that bursts of connections are not refused
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
            self.close_request(request)  # a reset, without a shutdown before it
        else:
            super().shutdown_request(request)

    def hang_up(self) -> None:
        """End the connections that clients keep alive, and the threads that serve them."""
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that leave. Any other error is a fault of this file, and is shown."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class ProviderHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: ProviderServer
    sent: ReceivedRequest  # the request that is being answered

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        provider = self.server.provider
        request = self._read_request()
        provider.requests.append(request)
        if fault := header_fault(request.headers, provider.key, provider.rules):
            provider.refusals.append(fault)
            self._send_error(error(401, fault))
        elif self.path.partition("?")[0] != "/v1/models":
            self._send_error(error(404, f"no such path: {self.path}"))
        else:
            data = [
                {"id": model, "object": "model", "created": 1700000000, "owned_by": "fake"}
                for model in provider.models
            ]
            self._send_json({"object": "list", "data": data})

    def do_POST(self) -> None:
        request = self._read_request()
        if self.path not in self.server.provider.paths:
            self.server.provider.refusals.append(f"path: {self.path}")
            self._send_error(error(404, f"no such path: {self.path}"))
            return
        reply = self.server.provider.next_reply(request)
        if isinstance(reply, Error):
            self._send_error(reply)
            return
        try:
            self._send_reply(request, reply)
            request.finished = True
        except ConnectionError:
            request.client_left_at = time.monotonic()
            self.close_connection = True

    def _send_reply(self, request: ReceivedRequest, scripted: ScriptedReply) -> None:
        self._sleep(scripted.delay)
        reply = scripted.reply_to(request)
        streaming = request.body.get("stream", False)
        first = next(iter(reply.parts), None)
        if isinstance(first, Error):
            self._send_error(first)
        elif isinstance(first, Die):
            self._break_connection(first)
        elif streaming if scripted.stream is None else scripted.stream:
            self._send_stream(request, reply, scripted.compress)
        else:
            for part in reply.parts:
                if isinstance(part, Pause):
                    self._sleep(part.seconds)
            self._send_json(self.server.provider.whole_body(request, reply), scripted.compress)

    def _read_request(self) -> ReceivedRequest:
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.sent = ReceivedRequest(self.command, self.path, headers, raw, time.monotonic())
        return self.sent

    def _send_stream(self, request: ReceivedRequest, reply: Reply, compress: bool) -> None:
        packer = zlib.compressobj(wbits=31) if compress else None
        self.send_response(200)
        self.send_header("content-type", "text/event-stream; charset=utf-8")
        self.send_header("transfer-encoding", "chunked")
        if packer:
            self.send_header("content-encoding", "gzip")
        for name, value in self.server.provider.extra_headers(request):
            self.send_header(name, value)
        self.end_headers()
        for step in self.server.provider.stream_steps(request, reply):
            match step:
                case Pause(seconds):
                    self._sleep(seconds)
                case Hold(go_on):
                    go_on.wait(30)
                case Die():
                    self._break_connection(step)
                    return
                case bytes(data):
                    if packer:
                        data = packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH)
                    self._send_chunk(data)
        if packer:
            self._send_chunk(packer.flush())
        self.wfile.write(b"0\r\n\r\n")

    def _send_chunk(self, data: bytes) -> None:
        if data:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def _sleep(self, seconds: float) -> None:
        """Sleep, unless the client leaves meanwhile."""
        if select.select([self.connection], [], [], seconds)[0]:
            if not self.connection.recv(1, socket.MSG_PEEK):
                raise ConnectionAbortedError
            time.sleep(seconds)

    def _break_connection(self, part: Die) -> None:
        if part.reset:
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True

    def _send_error(self, problem: Error) -> None:
        self._send_body(problem.status, problem.body, problem.headers)

    def _send_json(self, value: Any, compress: bool = False) -> None:
        data = json.dumps(value).encode()
        if compress:
            self._send_body(200, gzip.compress(data), {"content-encoding": "gzip"})
        else:
            self._send_body(200, data, {})

    def _send_body(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"content-type": "application/json", **headers}.items():
            self.send_header(name, value)
        for name, value in self.server.provider.extra_headers(self.sent):
            self.send_header(name, value)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
