"""Why an upstream cannot be reached, in words for people: the one table from the error of the
operating system or of TLS to a sentence and what the user can do."""

import re
from typing import NamedTuple

from translate.wire.printable import printable


class ConnectionFault(NamedTuple):
    """One reason for which a connection fails."""

    error_pattern: re.Pattern[str]  # in the error's own text
    opening_words: str  # of the sentence, which ends with the origin or the host
    names: str  # "origin" or "host"
    next_step: str
    is_lasting: bool  # whether the same connection would fail again


# Numbers of errors: Linux, macOS, Windows. Python's own text is "Connect call failed" for most.
CONNECTION_FAULTS = (
    ConnectionFault(
        re.compile(r"Errno (111|61|10061)\b|WinError (10061|1225)\b|connection refused", re.I),
        "nothing listens at",
        "origin",
        "is the server running?",
        True,
    ),
    ConnectionFault(
        re.compile(r"Temporary failure in name resolution|Errno 11002\b", re.I),
        "the network gives no address for",
        "host",
        "is this machine online?",
        False,
    ),
    ConnectionFault(
        re.compile(r"not known|nodename nor servname|getaddrinfo|No address associated", re.I),
        "there is no host with the name",
        "host",
        "check the URL",
        True,
    ),
    ConnectionFault(
        re.compile(r"Errno (101|113|51|65|10051|10065)\b|unreachable|no route to host", re.I),
        "no network leads to",
        "host",
        "is this machine online?",
        False,
    ),
    ConnectionFault(
        re.compile(r"certificate verify failed", re.I),
        "mitmproxy does not trust the certificate of",
        "origin",
        "its option ssl_verify_upstream_trusted_ca names an authority to trust",
        True,
    ),
    ConnectionFault(
        re.compile(r"wrong.version.number|does not speak TLS|record layer failure", re.I),
        "TLS is not spoken at",
        "origin",
        "did you mean http://?",
        True,
    ),
)
AUTHORITY = re.compile(r"[^/?#]*")
URL_PORT = re.compile(r":\d+$")
STARTS = tuple(fault.opening_words for fault in CONNECTION_FAULTS)
LASTING_STARTS = tuple(fault.opening_words for fault in CONNECTION_FAULTS if fault.is_lasting)


def connection_fault(url: str, error: str) -> tuple[str, str]:
    """The sentence for a connection to this URL that failed with this text, and what the user can
    do: "" if the table has no such text. Both begin in lower case and have no full stop."""
    for fault in CONNECTION_FAULTS:
        if fault.error_pattern.search(error):
            name = url_origin(url) if fault.names == "origin" else url_host_name(url)
            return f"{fault.opening_words} {printable(name, 200)}", fault.next_step
    text = printable(error, 200) or "no reason is given"
    return f"{url_origin(url)} cannot be reached: {text}", ""


def connection_words(url: str, error: str) -> str:
    """The sentence and the step in one line, "nothing listens at http://…; is the server running?";
    the error's own text if the table has none."""
    fault, next_step = connection_fault(url, error)
    return f"{fault}; {next_step}" if next_step else error


def without_step(words: str) -> str:
    """The words of `connection_words` without what the user can do; other words as they are."""
    return words.partition("; ")[0] if words.startswith(STARTS) else words


def is_lasting_fault(words: str) -> bool:
    """Whether a connection that failed with these words of `connection_words` would fail again."""
    return words.startswith(LASTING_STARTS)


def url_origin(url: str) -> str:
    """`http://127.0.0.1:11434/v1` → `http://127.0.0.1:11434`"""
    scheme, separator, rest = url.partition("://")
    host = AUTHORITY.findall(rest)[0].rpartition("@")[2]  # without a user's name and password
    return f"{scheme}://{host}" if separator and host else printable(url, 200)


def url_host_name(url: str) -> str:
    """`http://box:11434/v1` → `box`"""
    return URL_PORT.sub("", url_origin(url).rpartition("//")[2])
