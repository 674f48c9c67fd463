"""A real proxy in this process with real sockets on both sides; every wait has a limit."""

import asyncio
import contextlib
import functools
import logging
import socket
import ssl
import struct
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import h2.config
import h2.connection
import h2.events
from mitmproxy import certs, options
from mitmproxy.tools.dump import DumpMaster

PATIENCE = 5.0  # s for a single read
LIMIT = 20.0  # s for a whole test


def bounded(
    test: Callable[..., Coroutine[Any, Any, None]], limit: float = LIMIT
) -> Callable[..., None]:
    """The async test as a function that pytest can call; it fails after `limit` s."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), limit))

    return run


@functools.cache
def _confdir() -> tempfile.TemporaryDirectory[str]:
    folder = tempfile.TemporaryDirectory()
    # Created here, once: several relays, some in other processes, read it at the same time.
    certs.CertStore.create_store(Path(folder.name), "mitmproxy", 2048)
    return folder


def confdir() -> Path:
    """The folder of one certificate authority for all tests, as creating one takes long."""
    return Path(_confdir().name)


def client_tls(*alpn: str) -> ssl.SSLContext:
    """A client's TLS settings, which trust the proxy's certificate authority."""
    context = ssl.create_default_context(cafile=confdir() / "mitmproxy-ca-cert.pem")
    context.set_alpn_protocols(list(alpn or ("http/1.1",)))
    return context


def server_tls(*alpn: str, host: str = "127.0.0.1") -> ssl.SSLContext:
    """An upstream's TLS settings; the proxy then needs the option `ssl_insecure=True`."""
    store = certs.CertStore.from_store(confdir(), "mitmproxy", 2048)
    entry = store.get_cert(host, [])
    pem = confdir() / f"{host}.pem"
    key = entry.privatekey.private_bytes(
        certs.serialization.Encoding.PEM,
        certs.serialization.PrivateFormat.TraditionalOpenSSL,
        certs.serialization.NoEncryption(),
    )
    pem.write_bytes(key + entry.cert.to_pem())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    context.set_alpn_protocols(list(alpn or ("http/1.1",)))
    return context


class Errors(logging.Handler):
    """Collects errors of the log: mitmproxy only logs an exception in a layer or an addon."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(logging.Formatter().format(record))


@contextlib.asynccontextmanager
async def proxy(*addons: Any, **opts: Any) -> AsyncIterator[tuple[DumpMaster, int]]:
    """A running DumpMaster with these addons, and its port. Fails if an error is logged."""
    errors = Errors()
    logging.getLogger().addHandler(errors)
    all_options = {"connection_strategy": "lazy", "upstream_cert": False, **opts}
    master = DumpMaster(
        options.Options(listen_host="127.0.0.1", listen_port=0, confdir=str(confdir())),
        with_termlog=False,
        with_dumper=False,
    )
    master.addons.remove(master.addons.get("errorcheck"))  # it would exit the test run
    master.addons.add(*addons)
    master.options.update(**all_options)
    running = asyncio.create_task(master.run())
    server = master.addons.get("proxyserver")
    try:
        async with asyncio.timeout(PATIENCE):
            # A shutdown before the `running` hook would leave out the `done` hook.
            while not (server.is_running and server.listen_addrs()):
                if running.done():
                    running.result()
                await asyncio.sleep(0.001)
        yield master, server.listen_addrs()[0][1]
    finally:
        await server.servers.update([])  # mitmproxy itself never closes its listeners
        master.shutdown()
        await running
        logging.getLogger().removeHandler(errors)
    assert not errors.messages, "\n".join(errors.messages)


@dataclass
class Call:
    """A request that reached the upstream, with methods to answer it."""

    request_line: str
    headers: dict[str, str]
    body: bytes
    connection: int  # the number of the connection, from 1
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def head(self, status: int = 200, **headers: str) -> None:
        lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items()]
        self.writer.write(f"HTTP/1.1 {status} X\r\n{''.join(lines)}\r\n".encode())

    def reply(self, status: int = 200, body: bytes = b"", **headers: str) -> None:
        self.head(status, content_length=str(len(body)), **headers)
        self.writer.write(body)

    def stream(self, *chunks: bytes, **headers: str) -> None:
        """The head of a chunked reply, and its first chunks."""
        self.head(content_type="text/event-stream", transfer_encoding="chunked", **headers)
        self.chunks(*chunks)

    def chunks(self, *chunks: bytes) -> None:
        self.writer.write(b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks))

    def end(self) -> None:
        self.writer.write(b"0\r\n\r\n")

    def cut(self) -> None:
        self.writer.close()

    async def reset(self) -> None:
        """Close the connection with RST, after everything written was sent."""
        await self.writer.drain()
        linger = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()

    async def closed_after(self) -> float:
        """Seconds until the other side closed the connection."""
        clock = asyncio.get_running_loop().time
        start = clock()
        with contextlib.suppress(OSError):
            async with asyncio.timeout(PATIENCE):
                while await self.reader.read(65536):
                    pass
        return clock() - start


type Handler = Callable[[Call], Awaitable[None] | None]


@dataclass
class Upstream:
    """An HTTP/1.1 server: each request is answered by the next handler, the last one repeats."""

    handlers: tuple[Handler, ...]
    # The request for a list of models, with which a relay of its own process starts, gets a 404 and
    # is not `seen`.
    refuses_lists: bool = False
    seen: list[Call] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    listener: asyncio.Server | None = None
    failures: list[BaseException] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        try:
            while not writer.is_closing():
                head, headers = await read_head(reader)
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                call = Call(head, headers, body, number, reader, writer)
                if self.refuses_lists and "/models" in head:
                    call.reply(404)
                    continue
                handler = self.handlers[min(len(self.seen), len(self.handlers) - 1)]
                self.seen.append(call)
                if (waiting := handler(call)) is not None:
                    await waiting
        except (OSError, EOFError, asyncio.CancelledError):
            pass
        except BaseException as error:  # `upstream` reports it after the test
            self.failures.append(error)
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def upstream(
    *handlers: Handler, tls: ssl.SSLContext | None = None, refuses_lists: bool = False
) -> AsyncIterator[Upstream]:
    server = Upstream(handlers, refuses_lists)
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(server.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server.listener = listener = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks)
    assert not server.failures, server.failures


async def read_head(reader: asyncio.StreamReader) -> tuple[str, dict[str, str]]:
    """The first line of an HTTP/1 head, and its headers."""
    first, *rest = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
    return first, {
        name.lower(): value.strip() for name, _, value in (x.partition(":") for x in rest)
    }


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes = b""


@dataclass
class Client:
    """A raw HTTP/1.1 client. Raises EOFError or TimeoutError if the answer is not complete."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    answer: Answer = field(default_factory=lambda: Answer(0, {}))

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(
        cls, port: int, *, tunnel: str = "", tls: ssl.SSLContext | None = None
    ) -> AsyncIterator[Self]:
        """Connect to the proxy's port: plainly, with TLS, or by CONNECT to the host `tunnel`."""
        name = "localhost" if tls else None
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=tls, server_hostname=name
        )
        client = cls(reader, writer)
        try:
            if tunnel:
                writer.write(
                    f"CONNECT {tunnel}:443 HTTP/1.1\r\nHost: {tunnel}:443\r\n\r\n".encode()
                )
                status_line, _ = await read_head(reader)
                assert " 200 " in status_line, status_line
                await writer.start_tls(client_tls(), server_hostname=tunnel)
            yield client
        finally:
            writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                await asyncio.wait_for(writer.wait_closed(), PATIENCE)

    def send(
        self, target: str, body: bytes = b"{}", *, method: str = "POST", **headers: str
    ) -> None:
        fields = {"host": "127.0.0.1:8080", "content-length": str(len(body)), **headers}
        lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items()]
        self.writer.write(f"{method} {target} HTTP/1.1\r\n{''.join(lines)}\r\n".encode() + body)

    async def head(self, within: float = PATIENCE) -> Answer:
        status_line, headers = await asyncio.wait_for(read_head(self.reader), within)
        self.answer = Answer(int(status_line.split()[1]), headers)
        return self.answer

    async def chunk(self, within: float = PATIENCE) -> bytes:
        """The next chunk of a chunked answer; b"" at its proper end."""
        async with asyncio.timeout(within):
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            return (await self.reader.readexactly(size + 2))[:-2]

    async def rest(self) -> bytes:
        """The body up to its proper end."""
        if "chunked" in self.answer.headers.get("transfer-encoding", ""):
            while chunk := await self.chunk():
                self.answer.body += chunk
        else:
            size = int(self.answer.headers.get("content-length", 0))
            self.answer.body = await asyncio.wait_for(self.reader.readexactly(size), PATIENCE)
        return self.answer.body

    async def ask(self, target: str, body: bytes = b"{}", **headers: str) -> Answer:
        self.send(target, body, **headers)
        await self.head()
        await self.rest()
        return self.answer


@dataclass
class Client2:
    """An HTTP/2 client with one TLS connection to the proxy's port."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    wire: h2.connection.H2Connection = field(
        default_factory=lambda: h2.connection.H2Connection(
            h2.config.H2Configuration(header_encoding="utf-8")
        )
    )
    answers: dict[int, Answer] = field(default_factory=dict)
    ended: dict[int, str] = field(default_factory=dict)  # stream: "end" or "reset"

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(cls, port: int) -> AsyncIterator[Self]:
        async with Client.connect(port, tls=client_tls("h2")) as raw:
            assert raw.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
            client = cls(raw.reader, raw.writer)
            client.wire.initiate_connection()
            client.flush()
            yield client

    def flush(self) -> None:
        self.writer.write(self.wire.data_to_send())

    def send(self, path: str, body: bytes = b"{}") -> int:
        stream = self.wire.get_next_available_stream_id()
        pseudo = {":method": "POST", ":scheme": "https", ":authority": "127.0.0.1", ":path": path}
        self.wire.send_headers(stream, [*pseudo.items(), ("content-length", str(len(body)))])
        self.wire.send_data(stream, body, end_stream=True)
        self.flush()
        return stream

    def reset(self, stream: int) -> None:
        self.wire.reset_stream(stream, 8)
        self.flush()

    async def read(self) -> None:
        data = await asyncio.wait_for(self.reader.read(65536), PATIENCE)
        if not data:
            raise EOFError
        for event in self.wire.receive_data(data):
            match event:
                case h2.events.ResponseReceived(stream_id=stream, headers=headers):
                    fields = dict(headers)
                    self.answers[stream] = Answer(int(fields.pop(":status")), fields)
                case h2.events.DataReceived(stream_id=stream, data=data):
                    self.answers[stream].body += data
                    self.wire.acknowledge_received_data(event.flow_controlled_length, stream)
                case h2.events.StreamEnded(stream_id=stream):
                    self.ended[stream] = "end"
                case h2.events.StreamReset(stream_id=stream):
                    self.ended[stream] = "reset"
        self.flush()

    async def rest(self, stream: int) -> Answer:
        while stream not in self.ended:
            await self.read()
        assert self.ended[stream] == "end"
        return self.answers[stream]
