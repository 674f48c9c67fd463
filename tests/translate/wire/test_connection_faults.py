"""Why an upstream cannot be reached, in words."""

import pytest

from translate.wire.connection_faults import (
    connection_fault,
    connection_words,
    is_lasting_fault,
    url_origin,
    without_step,
)

URL = "http://127.0.0.1:11434/v1"
REFUSED = "nothing listens at http://127.0.0.1:11434; is the server running?"


@pytest.mark.parametrize(
    "error",
    [
        "[Errno 111] Connect call failed ('127.0.0.1', 11434)",
        "[Errno 61] Connect call failed ('127.0.0.1', 11434)",
        "[WinError 1225] The remote computer refused the network connection",
        "Multiple exceptions: [Errno 111] Connect call failed ('::1', 11434, 0, 0), [Errno 111] …",
        "All connection attempts failed / [Errno 111] Connect call failed ('127.0.0.1', 11434)",
    ],
)
def test_refused_connection_names_the_host_with_its_port(error: str) -> None:
    assert connection_words(URL, error) == REFUSED
    assert is_lasting_fault(REFUSED)


@pytest.mark.parametrize(
    ("error", "words", "is_lasting"),
    [
        (
            "[Errno -2] Name or service not known",
            "there is no host with the name box; check the URL",
            True,
        ),
        (
            "[Errno 8] nodename nor servname provided, or not known",
            "there is no host with the name box; check the URL",
            True,
        ),
        (
            "[Errno -3] Temporary failure in name resolution",
            "the network gives no address for box; is this machine online?",
            False,
        ),
        (
            "[Errno 101] Connect call failed ('10.9.8.7', 80)",
            "no network leads to box; is this machine online?",
            False,
        ),
        (
            "Certificate verify failed: self-signed certificate",
            "mitmproxy does not trust the certificate of https://box:81; its option "
            "ssl_verify_upstream_trusted_ca names an authority to trust",
            True,
        ),
        (
            "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1020)",
            "TLS is not spoken at https://box:81; did you mean http://?",
            True,
        ),
    ],
)
def test_each_fault_has_its_words(error: str, words: str, is_lasting: bool) -> None:
    assert connection_words("https://box:81/v1", error) == words
    assert is_lasting_fault(words) is is_lasting
    assert words.startswith(f"{without_step(words)}; ")


def test_other_errors_keep_their_own_text() -> None:
    assert connection_words(URL, "client left") == "client left"
    fault = "http://127.0.0.1:11434 cannot be reached: \\x1b[31mreset"
    assert connection_fault(URL, "\x1b[31mreset") == (fault, "")
    assert connection_fault(URL, "")[0].endswith("no reason is given")
    assert not is_lasting_fault("client left")
    assert without_step("reset; by peer") == "reset; by peer"


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://user:secret@api.example.com/v1", "https://api.example.com"),
        ("https://user:se@cret@api.example.com/v1", "https://api.example.com"),
        ("http://[::1]:8000/v1?a=b", "http://[::1]:8000"),
        ("nothing", "nothing"),
    ],
)
def test_origin_has_neither_path_nor_password(url: str, origin: str) -> None:
    assert url_origin(url) == origin
