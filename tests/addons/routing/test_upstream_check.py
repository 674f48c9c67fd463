"""One request for an upstream's models, and the words for what is wrong."""

import asyncio
import socket
from collections.abc import Callable

import pytest

from addons.routing.key_origin import KeyOrigin
from addons.routing.upstream_check import UpstreamCheck, check_upstream, read_list_reply
from tests.addons.proxy import Call, upstream

KEY = KeyOrigin("BOX_API_KEY", ("BOX_API_KEY", "relay_api_key"))
LIST = b'{"data": [{"id": "a"}, {"id": "b"}]}'


def request_path(call: Call) -> str:
    return call.request_line.split()[1]


def check_server(
    path: str,
    reply: Callable[[Call], None],
    key: KeyOrigin | None = KEY,
    timeout: float = 5.0,
) -> tuple[UpstreamCheck, list[str], str]:
    """The check of a server's URL with this path, the paths that were asked for, the origin."""

    async def run() -> tuple[UpstreamCheck, list[str], str]:
        async with upstream(reply) as server:
            origin = f"http://127.0.0.1:{server.port}"
            headers = {"authorization": "Bearer sk-secret-0001"}
            check = await check_upstream(origin + path, headers, key=key, timeout=timeout)
            return check, [request_path(call) for call in server.seen], origin

    return asyncio.run(run())


def reply_with(status: int, body: bytes, path: str = "") -> Callable[[Call], None]:
    """The reply for paths that end with `path`; a 404 for others."""

    def reply(call: Call) -> None:
        if request_path(call).endswith(path):
            call.reply(status, body)
        else:
            call.reply(404, b"404 page not found")

    return reply


def test_list_of_models() -> None:
    check, paths, origin = check_server("/v1", reply_with(200, LIST))
    assert [model.id for model in check.models or ()] == ["a", "b"]
    assert (check.url, check.status, check.words) == (f"{origin}/v1", 200, "")
    assert paths == ["/v1/models"]


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, b"{}", "the key was refused (401); check the key in BOX_API_KEY"),
        (404, b"{}", "there is no list of models at {}/v1/models (404); check the URL"),
        (200, b"<html>", "{} answered without a list of models; check the URL"),
        (302, b"", "{} redirects elsewhere (302); check the URL"),
        (500, b'{"error": {"message": "no luck"}}', "{} answered 500: no luck"),
    ],
)
def test_reply_without_a_list(status: int, body: bytes, words: str) -> None:
    check, paths, origin = check_server("/v1", reply_with(status, body))
    assert check.words == words.format(origin)
    assert (check.models, check.status, len(paths)) == (None, status, 1)


def test_key_is_not_repeated() -> None:
    body = b'{"error": {"message": "wrong: sk-secret-0001"}}'
    assert "sk-secret" not in check_server("/v1", reply_with(400, body))[0].words


def test_without_a_key_the_check_says_which_to_set() -> None:
    origin = KeyOrigin("", ("BOX_API_KEY", "relay_api_key"))
    words = read_list_reply("http://h/v1", 403, b"", origin).words
    assert words == "no key was sent (403); set BOX_API_KEY or relay_api_key"
    assert read_list_reply("http://h/v1", 401, b"", None).next_step == "check the key"


@pytest.mark.parametrize("status", [200, 401])
def test_missing_version_is_named(status: int) -> None:
    """llama.cpp's and Ollama's lists are at /v1/models only; a 401 there shows as much."""
    check, paths, origin = check_server("", reply_with(status, LIST, "/v1/models"))
    assert check.words == f"no /v1 in the URL; did you mean {origin}/v1?"
    assert check.better_url == f"{origin}/v1"
    assert paths == ["/models", "/v1/models"]


def test_version_is_not_blamed_if_it_does_not_help() -> None:
    check, paths, origin = check_server("", reply_with(404, b""))
    assert check.words == f"there is no list of models at {origin}/models (404); check the URL"
    assert not check.better_url


def test_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        origin = f"http://127.0.0.1:{server.getsockname()[1]}"
    check = asyncio.run(check_upstream(f"{origin}/v1", {}))
    assert check.words == f"nothing listens at {origin}; is the server running?"
    assert check.models is None and check.status == 0


def test_host_that_does_not_exist() -> None:
    check = asyncio.run(check_upstream("http://no-such-host.invalid/v1", {}))
    assert "no-such-host.invalid" in check.fault and check.next_step


def test_server_that_gives_no_usable_answer() -> None:
    check, _, origin = check_server("/v1", lambda call: call.writer.close())
    assert check.fault.startswith(f"{origin} gave no usable answer: Server disconnected")


def test_url_that_is_none_is_a_fault() -> None:
    assert asyncio.run(check_upstream("http://box\x7f/v1", {})).fault


def test_silent_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        origin = f"http://127.0.0.1:{server.getsockname()[1]}"
        check = asyncio.run(check_upstream(origin, {}, timeout=0.2))
    assert check.fault == f"{origin} gave no answer within 0.2 s"


def test_http_where_tls_is_asked() -> None:
    async def run() -> UpstreamCheck:
        server = await asyncio.start_server(answer_in_plain_text, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await check_upstream(f"https://127.0.0.1:{port}/v1", {})

    assert "did you mean http://?" in asyncio.run(run()).words


def answer_in_plain_text(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    writer.close()
