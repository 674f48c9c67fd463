"""Cookies that the service sets, as any client keeps them: one jar an account, for one host."""

import re
from email.message import Message
from email.utils import formatdate
from http.cookiejar import Cookie, CookieJar, DefaultCookiePolicy
from types import SimpleNamespace
from typing import Any
from urllib.request import Request

MOST = 50  # cookies in a jar
LAST = 253_402_300_799  # Unix seconds: no date is later
LINE = re.compile(r"[ -~]{1,4096}")


class Jar:
    """By `http.cookiejar`, which knows the rules of hosts, paths and ends."""

    def __init__(self, url: str, lines: tuple[str, ...] = ()) -> None:
        """`url`: that of the service; `lines`: as `kept` gave them."""
        self._url = url
        self._jar = CookieJar(DefaultCookiePolicy(strict_ns_domain=3))
        self.hear(list(lines))

    def hear(self, lines: list[str]) -> bool:
        """Values of `Set-Cookie`; whether `kept` is another now."""
        before, told = self.kept(), Message()
        for line in lines:
            if LINE.fullmatch(line):
                told["Set-Cookie"] = line
        reply: Any = SimpleNamespace(info=lambda: told)  # all that the jar looks at
        self._jar.extract_cookies(reply, self._request())
        for cookie in list(self._jar)[MOST:]:
            self._jar.clear(cookie.domain, cookie.path, cookie.name)
        return self.kept() != before

    def header(self) -> str:
        """The value of `Cookie`, "" where there are none."""
        request = self._request()
        self._jar.add_cookie_header(request)
        return str(request.get_header("Cookie", ""))

    def kept(self) -> tuple[str, ...]:
        """Those that outlast a session, each as one `Set-Cookie`."""
        return tuple(sorted(line_of(cookie) for cookie in self._jar if not cookie.discard))

    def _request(self) -> Request:
        return Request(self._url)  # noqa: S310 - it is never sent


def line_of(cookie: Cookie) -> str:
    parts = [f"{cookie.name}={cookie.value}", f"Path={cookie.path}"]
    parts += [f"Domain={cookie.domain}"] if cookie.domain_specified else []
    parts += [f"Expires={formatdate(min(cookie.expires or 0, LAST), usegmt=True)}"]
    return "; ".join(parts + (["Secure"] if cookie.secure else []))
