"""The dashboard's session cookie."""

import pytest

from addons.ingress import session_cookie
from addons.ingress.session_cookie import COOKIE_NAME, COOKIE_SECONDS, cookie_key_name, issue_cookie
from tests.addons.dashboard.pages import KEY, dashboard_relay, get_page
from tests.addons.proxy import Client, bounded


@bounded
async def test_cookie_is_valid_for_its_time_its_key_and_its_process() -> None:
    async with dashboard_relay(relay_client_key=KEY) as (_, port), Client.connect(port) as client:
        cookie = issue_cookie(KEY, 1000)
        until, _, signature = cookie.partition(".")
        assert cookie_key_name(cookie, 1000 + COOKIE_SECONDS) == ""
        assert cookie_key_name(cookie, 1001 + COOKIE_SECONDS) is None
        later = f"{int(until) + 10**9}"
        for wrong in (
            *("", ".", until, f"{until}.", f"{later}.{signature}", f"٣{until}.{signature}"),
            *(f"{until}.{signature}x", f"-1.{signature}", f"{until}.\udcff", "9" * 400 + ".x"),
            issue_cookie("another-key", 1000),
        ):
            assert cookie_key_name(wrong, 1000) is None, wrong
            latin_cookie = wrong.encode("utf-8", "replace").decode("latin-1")
            answer = await get_page(client, "/relay/data", cookie=f"{COOKIE_NAME}={latin_cookie}")
            assert answer.status == 401
        patch = pytest.MonkeyPatch()
        patch.setattr(session_cookie, "_signing_key", b"of another process")
        assert cookie_key_name(cookie, 1000) is None
        patch.undo()
