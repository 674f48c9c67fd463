"""One request for an upstream's list of models, which shows whether the upstream can be used; and
the words for what is wrong with it.

The words are pure functions. `check_upstream` needs neither mitmproxy nor a running relay.
"""

import asyncio
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from urllib.parse import urlsplit

import httpx2

from addons.http_client import client_options
from addons.routing.key_origin import KEY_STATUSES, KeyOrigin
from addons.secret_mask import SecretMask
from translate import (
    CatalogModel,
    connection_fault,
    error_text,
    parse_model_list,
    printable,
    url_origin,
)

CHECK_TIMEOUT = 5.0  # s for both requests together; Codex waits about as long for its catalog
ERROR_LENGTH = 200  # characters of an error's own text
VERSION_PATH = "/v1"
MISSING_VERSION = "no /v1 in the URL"
HAS_VERSION = re.compile(r"/v\d\w*(/|$)|/openai(/|$)|/api(/|$)")

type StringMap = Mapping[str, str]

NO_QUERY: StringMap = MappingProxyType({})


@dataclass(frozen=True)
class UpstreamCheck:
    """What a request for the list of models showed."""

    url: str  # the base URL that was asked
    models: list[CatalogModel] | None  # None if the upstream gave no list
    status: int = 0  # of its reply; 0: no reply came
    fault: str = ""  # one sentence, in lower case and without a full stop; "" if nothing is wrong
    next_step: str = ""  # what the user can do about it, in the same form; "" if that is not known
    better_url: str = ""  # the same URL with /v1, if that one gives a list

    @property
    def words(self) -> str:
        """The fault and what to do in one line; "" if nothing is wrong."""
        return "; ".join(filter(None, (self.fault, self.next_step)))


async def check_upstream(
    url: str,
    headers: StringMap,
    *,
    query: StringMap = NO_QUERY,
    key: KeyOrigin | None = None,
    timeout: float = CHECK_TIMEOUT,
) -> UpstreamCheck:
    """Ask the upstream at this base URL for its models. Never raises.

    `headers` are the provider's own and the key's (`Provider.headers | Provider.key_headers(key)`);
    `key` names where the key comes from; `timeout` is in seconds, for all requests together. If the
    URL gives no list and names no version of the API, `<url>/v1` is asked as well.
    """
    try:
        async with asyncio.timeout(timeout):
            check = await request_models(url, headers, query, key)
            if may_lack_version(url, check):
                better = await request_models(url + VERSION_PATH, headers, query, key)
                if better.models is not None or better.status in KEY_STATUSES:
                    return with_better_url(check, better.url)
            return check
    except TimeoutError:
        return no_answer(url, timeout)


async def request_models(
    url: str, headers: StringMap, query: StringMap, key: KeyOrigin | None
) -> UpstreamCheck:
    """The result of one request. Raises TimeoutError."""
    try:
        async with httpx2.AsyncClient(**client_options()) as client:
            reply = await client.get(
                f"{url}/models", headers={"accept": "application/json", **headers}, params=query
            )
    except httpx2.TimeoutException:
        raise TimeoutError from None
    except (httpx2.ReadError, httpx2.DecodingError, httpx2.RemoteProtocolError) as error:
        text = printable(exception_text(error), ERROR_LENGTH)
        return UpstreamCheck(url, None, fault=f"{url_origin(url)} gave no usable answer: {text}")
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
        fault, next_step = connection_fault(url, exception_text(error))
        return UpstreamCheck(url, None, fault=fault, next_step=next_step)
    body = SecretMask(headers.values()).mask_content(reply.content)
    return read_list_reply(url, reply.status_code, body, key)


def read_list_reply(url: str, status: int, body: bytes, key: KeyOrigin | None) -> UpstreamCheck:
    """The result for the upstream's reply with this status and body."""
    if status == 200:
        try:
            return UpstreamCheck(url, parse_model_list(body), status)
        except ValueError:
            fault, next_step = (
                f"{url_origin(url)} answered without a list of models",
                "check the URL",
            )
    else:
        fault, next_step = status_fault(url, status, body, key)
    return UpstreamCheck(url, None, status, fault, next_step)


def status_fault(url: str, status: int, body: bytes, key: KeyOrigin | None) -> tuple[str, str]:
    """The sentence for a reply to `GET /models` with an error's status, and what to do about it."""
    if status in KEY_STATUSES:
        if key is None:
            return f"the key was refused ({status})", "check the key"
        return key.refusal(status)
    if status == 404:
        return f"there is no list of models at {url}/models (404)", "check the URL"
    if status // 100 == 3:
        return f"{url_origin(url)} redirects elsewhere ({status})", "check the URL"
    return f"{url_origin(url)} answered {status}: {error_text(body)}", ""


def may_lack_version(url: str, check: UpstreamCheck) -> bool:
    """Whether the reply looks like that of a URL whose /v1 is missing."""
    is_answer = check.models is None and check.status in (200, 301, 302, 307, 308, 404, 405)
    return is_answer and not names_version(url)


def names_version(url: str) -> bool:
    """Whether the path of the URL ends like that of an API, with or without a version."""
    return bool(HAS_VERSION.search(urlsplit(url).path))


def with_better_url(check: UpstreamCheck, better_url: str) -> UpstreamCheck:
    """The result for a URL whose /v1 is missing."""
    next_step = f"did you mean {better_url}?"
    return replace(check, fault=MISSING_VERSION, next_step=next_step, better_url=better_url)


def no_answer(url: str, seconds: float) -> UpstreamCheck:
    """The result if no reply came in time."""
    fault = f"{url_origin(url)} gave no answer within {seconds:g} s"
    return UpstreamCheck(url, None, fault=fault, next_step="is the server busy, or the URL wrong?")


def exception_text(error: BaseException) -> str:
    """The texts of an exception and of its causes: the operating system's is the innermost."""
    return " / ".join(dict.fromkeys(text for each in causes(error) if (text := str(each))))


def causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
