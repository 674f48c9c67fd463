"""A session stays within its bounds, whatever the endpoint does."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import repeat
from typing import Any

import pytest

from addons.config.config_file import builtin_providers
from addons.flow_data import MASK
from scripts.cli.errors import CommandFailed
from scripts.cli.probe.chat_reply import RecordedReply
from scripts.cli.probe.client import EndpointClient
from scripts.cli.probe.endpoint import Endpoint
from scripts.cli.probe.findings import Finding
from scripts.cli.probe.probes import ALL_PROBES
from scripts.cli.probe.session import NOTHING_SERVED, ProbeLimits, ProbeSession, text_tokens

BY_NAME = {probe.name: probe for probe in ALL_PROBES}
PLAIN = [probe for probe in ALL_PROBES if not probe.option]
ENDPOINT = Endpoint("http://localhost:1/v1", builtin_providers()["generic"], "m", "the-key-0001")
READY = {
    "choices": [{"message": {"content": "ready"}, "finish_reason": "stop"}],
    "usage": {"total_tokens": 20},
}
SERVED = RecordedReply(200, json.dumps(READY).encode())


def failed(status: int, message: str = "no", **fields: Any) -> RecordedReply:
    return RecordedReply(status, json.dumps({"error": {"message": message}}).encode(), **fields)


class ScriptedClient:
    """Recorded replies in place of an endpoint; it keeps the bodies that were sent."""

    def __init__(self, *replies: RecordedReply, models: RecordedReply | None = None) -> None:
        self.replies = iter((*replies, *repeat(replies[-1], 200)))
        self.models = models or RecordedReply(200, b'{"data": [{"id": "m"}]}')
        self.bodies: list[dict[str, Any]] = []

    def list_models(self) -> RecordedReply:
        return self.models

    def send_chat(self, body: dict[str, Any], has_wrong_key: bool = False) -> RecordedReply:
        self.bodies.append(body)
        return next(self.replies)


def run_names(session: ProbeSession, *names: str) -> dict[str, Finding]:
    findings = session.run_probes([BY_NAME[name] for name in names])
    return {finding.probe: finding for finding in findings}


def test_rate_limit_is_waited_for_as_long_as_it_says() -> None:
    waits: list[float] = []
    client = ScriptedClient(failed(429, retry_after=7), failed(429), SERVED)
    session = ProbeSession(ENDPOINT, client, sleep=waits.append)
    assert run_names(session, "max_tokens")["max_tokens"].verdict == "seen"
    assert waits == [7, 4]
    assert session.requests == 3


@pytest.mark.parametrize("retry_after", [31, 1e9])
def test_long_rate_limit_is_not_measured_and_not_refused(retry_after: float) -> None:
    waits: list[float] = []
    client = ScriptedClient(SERVED, failed(429, "slow down", retry_after=retry_after))
    session = ProbeSession(ENDPOINT, client, sleep=waits.append)
    finding = run_names(session, "max_tokens", "temperature")["temperature"]
    assert (finding.verdict, finding.evidence) == ("not measured", "429: slow down")
    assert waits == []


def test_all_waits_together_are_bounded() -> None:
    waits: list[float] = []
    limits = ProbeLimits(waiting=25)
    session = ProbeSession(
        ENDPOINT, ScriptedClient(failed(429, retry_after=10)), limits, waits.append
    )
    assert {each.verdict for each in session.run_probes(PLAIN)} == {"not measured"}
    assert waits == [10, 10]


def test_requests_are_bounded() -> None:
    session = ProbeSession(ENDPOINT, ScriptedClient(SERVED), ProbeLimits(requests=3))
    findings = run_names(session, "max_tokens", "max_completion_tokens", "seed", "stop")
    assert session.requests == 3
    assert findings["stop"].verdict == "not measured"
    assert findings["stop"].evidence == "the limit of 3 requests is reached"


def test_tokens_are_bounded_by_what_the_endpoint_reports() -> None:
    session = ProbeSession(ENDPOINT, ScriptedClient(SERVED), ProbeLimits(tokens=30))
    findings = run_names(session, "max_tokens", "max_completion_tokens", "whole reply")
    assert session.requests == 2
    assert findings["whole reply"].evidence == "the limit of 30 tokens is reached"


def test_endpoint_that_serves_nothing_is_left_alone() -> None:
    session = ProbeSession(ENDPOINT, ScriptedClient(failed(401, "wrong key")))
    findings = list(session.run_probes(PLAIN))
    assert session.requests == 2
    assert findings[0].evidence == "401: wrong key"
    assert {each.verdict for each in findings} == {"not measured"}
    assert findings[-1].evidence == NOTHING_SERVED


def test_endpoint_that_breaks_on_the_way_is_left_alone() -> None:
    client = ScriptedClient(SERVED, SERVED, failed(500, "boom"))
    session = ProbeSession(ENDPOINT, client)
    findings = list(session.run_probes(PLAIN))
    assert session.requests == 5
    assert findings[2].evidence == "500: boom"
    assert findings[-1].evidence == "the endpoint failed 3 times in a row"


def test_bundle_goes_in_one_request_and_one_by_one_if_it_is_refused() -> None:
    names = ("temperature", "top_p", "seed")
    client = ScriptedClient(SERVED)
    findings = run_names(ProbeSession(ENDPOINT, client), *names)
    assert len(client.bodies) == 1 and client.bodies[0].keys() >= set(names)
    assert {each.verdict for each in findings.values()} == {"accepted"}

    client = ScriptedClient(failed(400, "seed?"), SERVED, SERVED, failed(400, "seed?"))
    findings = run_names(ProbeSession(ENDPOINT, client), *names)
    assert [findings[name].verdict for name in names] == ["accepted", "accepted", "refused"]
    assert findings["seed"].evidence == "400: seed?"


def test_first_chat_model_of_the_list_is_taken() -> None:
    models = b'{"data": [{"id": "text-embedding-3"}, {"id": "m2", "context_length": 9000}]}'
    client = ScriptedClient(SERVED, models=RecordedReply(200, models))
    session = ProbeSession(replace(ENDPOINT, model=""), client)
    assert session.choose_model().evidence == "2 models, context window 9,000"
    assert session.measurements.endpoint.model == "m2"


def test_missing_model_list_names_the_next_step() -> None:
    client = ScriptedClient(SERVED, models=failed(404, "no such path"))
    with pytest.raises(CommandFailed, match="404: no such path") as failure:
        ProbeSession(replace(ENDPOINT, model=""), client).choose_model()
    assert failure.value.next_step == "name one with --model"
    session = ProbeSession(ENDPOINT, client)
    assert session.choose_model().verdict == "refused"


def test_wrong_key_is_judged_by_its_status() -> None:
    session = ProbeSession(ENDPOINT, ScriptedClient(failed(401, "wrong key")))
    finding = run_names(session, "wrong key")["wrong key"]
    assert (finding.verdict, finding.evidence) == ("refused", "401: wrong key")


def test_pictures_are_not_counted_as_text() -> None:
    assert text_tokens({"url": f"data:image/png;base64,{'A' * 9999}", "text": "a" * 40}) == 311


# Hostile endpoints, over real sockets


@contextmanager
def hostile_server(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    class HostileHandler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            answer(self)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), HostileHandler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        released.set()
        server.shutdown()
        thread.join()
        server.server_close()
        released.clear()


released = threading.Event()


def send_head(handler: BaseHTTPRequestHandler, media_type: str) -> None:
    handler.send_response(200)
    handler.send_header("content-type", media_type)
    handler.end_headers()


def hang(handler: BaseHTTPRequestHandler) -> None:
    released.wait(30)


def trickle(handler: BaseHTTPRequestHandler) -> None:
    """Keep-alives for ever."""
    send_head(handler, "text/event-stream")
    while not released.wait(0.02):
        handler.wfile.write(b": wait\n\n")


def send_page(handler: BaseHTTPRequestHandler) -> None:
    send_head(handler, "text/html")
    handler.wfile.write(b"<html><title>Welcome</title><script>x()</script>Log in here</html>")


def send_garbage(handler: BaseHTTPRequestHandler) -> None:
    send_head(handler, "text/event-stream")
    handler.wfile.write(b"data: {nonsense\n\ndata: [1, 2]\n\ndata: \xff\xfe\n\n")


def send_wrong_types(handler: BaseHTTPRequestHandler) -> None:
    send_head(handler, "application/json")
    choice = {"message": {"content": 5, "tool_calls": "x"}}
    handler.wfile.write(json.dumps({"choices": [choice], "usage": 3}).encode())


def send_much(handler: BaseHTTPRequestHandler) -> None:
    send_head(handler, "text/event-stream")
    for _ in range(40):
        handler.wfile.write(b"data: " + b"x" * (1 << 20))


def cut(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("content-length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [')


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (hang, "gave no whole reply within 0.4 s"),
        (trickle, "gave no whole reply within 0.4 s"),
        (send_page, "200, but no reply of Chat Completions: Welcome Log in here"),
        (send_garbage, "200, but no reply of Chat Completions"),
        (send_wrong_types, "200, but no reply of Chat Completions"),
        (send_much, "a reply of more than 8388608 bytes"),
        (cut, "cannot be reached"),
    ],
)
def test_hostile_endpoint_is_bounded_and_named(
    answer: Callable[[BaseHTTPRequestHandler], None],
    words: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with hostile_server(answer) as url:
        endpoint = replace(ENDPOINT, url=url)
        with EndpointClient(endpoint, 0.4 if answer in (hang, trickle) else 20) as client:
            session = ProbeSession(endpoint, client)
            findings = list(session.run_probes(PLAIN))
    capfd.readouterr()  # the server's complaints about the client that left
    assert {each.verdict for each in findings} == {"not measured"}
    assert words in findings[0].evidence
    assert session.requests == 2


def repeat_key(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(400)
    handler.end_headers()
    handler.wfile.write(f"wrong: {handler.headers['authorization']}".encode())


def test_key_that_a_server_repeats_is_concealed() -> None:
    with (
        hostile_server(repeat_key) as url,
        EndpointClient(replace(ENDPOINT, url=url), 20) as client,
    ):
        assert client.send_chat({}).body == f"wrong: Bearer {MASK}".encode()


def test_closed_port_is_named() -> None:
    with EndpointClient(replace(ENDPOINT, url="http://127.0.0.1:1/v1"), 5) as client:
        recorded = client.send_chat({})
    assert recorded.status == 0
    assert recorded.fault.startswith("nothing listens at http://127.0.0.1:1")
