"""Which account serves: with a clock of the tests' own, and logins in real files."""

import asyncio
import gc
import json
import math
from pathlib import Path
from typing import Any

import pytest
from mitmproxy.http import Headers, Response

from addons.accounts.cookies import MOST, Jar
from addons.accounts.lease import Seat
from addons.accounts.member import Account
from addons.accounts.noseat import NoSeat
from addons.accounts.oauth import Dead, Unreachable
from addons.accounts.pool import Pool, Rules
from addons.accounts.quota import BURST, Limit
from addons.accounts.registry import Roster
from addons.accounts.strategy import Candidate, order
from addons.accounts.tokens import Tokens
from addons.accounts.usage import EVERY, SPREAD, due
from addons.accounts.vault import Vault
from addons.config.account_settings import Strategy
from tests.addons.proxy import bounded
from tests.fake_auth import auth_claims, person, web_token

NOW = 1_790_000_000.0
BASE = "http://127.0.0.1:9"


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


def login(name: str, life: float = 86_400.0, plan: str = "plus") -> Tokens:
    user = person(name, plan)
    claims = {
        "exp": NOW + life,
        "https://api.openai.com/auth": auth_claims(user),
        "https://api.openai.com/profile": {"email": user.email},
    }
    return Tokens(web_token(claims), f"rt-{name}", "", NOW)


ADA, BOB, EVE = login("ada"), login("bob"), login("eve")


class Service:
    """Renews, or says why not."""

    def __init__(self) -> None:
        self.fault: Exception | None = None
        self.asked: list[str] = []

    async def __call__(self, refresh: str) -> Tokens:
        self.asked.append(refresh)
        if self.fault:
            raise self.fault
        return login(refresh.removeprefix("rt-"))


class Scene:
    def __init__(self, folder: Path) -> None:
        self.file, self.clock, self.service = folder / "logins", Clock(), Service()
        self.codex: Path | None = None

    def pool(self, *, patience: float = 0.05, **rules: Any) -> Pool:
        vault = Vault(self.file)
        roster = Roster(vault, self.codex, f"{BASE}/codex", self.clock, self.service)
        return Pool(roster, Rules(**rules, patience=patience), self.clock)

    async def with_all(self, *who: Tokens, **rules: Any) -> Pool:
        pool = self.pool(**rules)
        await pool.roster.look()
        for tokens in who:
            await pool.add(tokens)
        return pool


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def run(test: Any) -> None:
    bounded(lambda: test)()


async def take(pool: Pool, session: str = "") -> Seat:
    """The seat of a request that goes on."""
    seat = (await pool.seats(session))[0]
    seat.begin()
    return seat


async def once(pool: Pool, session: str = "") -> str:
    """Who served a request that is over."""
    seat = await take(pool, session)
    seat.end()
    return seat.account.email.partition("@")[0]


def told(pool: Pool, who: Tokens) -> Account:
    return next(account for account in pool.known() if account.id == who.name)


def used(percent: float, resets: float = 3600, window: str = "primary") -> Response:
    start = f"x-codex-{window}"
    fields = {f"{start}-used-percent": str(percent), f"{start}-reset-at": str(NOW + resets)}
    return Response.make(200, b"", fields)


def exhausted(seconds: float = 3600) -> bytes:
    error = {"type": "usage_limit_reached", "resets_in_seconds": seconds}
    return json.dumps({"error": error}).encode()


BURSTING = b'{"error": {"message": "Too many requests"}}'


async def refused(pool: Pool, session: str = "") -> NoSeat:
    with pytest.raises(NoSeat) as caught:
        await pool.seats(session)
    return caught.value


def test_nobody_is_there(scene: Scene) -> None:
    async def test() -> None:
        none = await refused(scene.pool())
        assert (none.status, none.code, none.resets_at) == (401, "no_account", None)
        assert "/auth/login" in none.message and "relay_chatgpt_auth" in none.message
        assert not scene.file.exists()

    run(test())


def test_the_first_one_serves_until_another_is_selected(scene: Scene) -> None:
    async def test() -> None:
        pool = await scene.with_all(ADA, BOB)
        assert [await once(pool, "s") for _ in range(3)] == ["ada"] * 3
        await pool.select(BOB.name)
        assert await once(pool, "s") == "bob"
        other = scene.pool()
        assert await once(other) == "bob"
        await other.select(ADA.name)
        assert await once(pool) == "ada"  # what another process did is seen
        with pytest.raises(LookupError):
            await pool.select("acct_0")

    run(test())


@pytest.mark.parametrize("name", [BOB.name, "bob@example.com", "Bob@Example.com"])
def test_the_users_choice_in_the_settings(scene: Scene, name: str) -> None:
    async def test() -> None:
        pool = await scene.with_all(ADA, BOB, account=name)
        assert await once(pool) == "bob"
        assert [account.selected for account in pool.known()] == [False, True]
        with pytest.raises(LookupError, match="relay_account"):
            await pool.select(ADA.name)

    run(test())


def test_a_choice_that_is_not_there(scene: Scene) -> None:
    async def test() -> None:
        none = await refused(await scene.with_all(ADA, account="zoe@example.com"))
        assert (none.status, none.code) == (401, "no_account") and "zoe@" in none.message

    run(test())


def test_what_the_request_carries(scene: Scene) -> None:
    async def test() -> None:
        seat = await take(await scene.with_all(ADA))
        headers = {"authorization": f"Bearer {ADA.access}", "chatgpt-account-id": "ws-ada"}
        assert seat.secrets() == headers
        fields = [(b"set-cookie", b"cf=1; Path=/; Max-Age=900"), (b"set-cookie", b"s=2")]
        seat.heard(Response(b"HTTP/1.1", 200, b"OK", Headers(fields), b"", None, 0, 0))
        assert seat.secrets() == headers | {"cookie": "cf=1; s=2"}
        for shown in (repr(seat), repr(seat.account), json.dumps(seat.account.told())):
            assert ADA.access not in shown and "rt-ada" not in shown

    run(test())


def test_cookies_outlast_the_relay_each_with_its_account(scene: Scene) -> None:
    async def test() -> None:
        pool = await scene.with_all(ADA, BOB)
        seat = await take(pool)
        fields = {"set-cookie": "cf=1; Path=/; Max-Age=900; HttpOnly"}
        seat.heard(Response.make(200, b"", fields))
        await pool.roster.finish()
        again = scene.pool(strategy="round_robin")
        found = {}
        for _ in range(2):
            seat = await take(again)
            found[seat.account.id] = seat.secrets().get("cookie")
        assert found == {ADA.name: "cf=1", BOB.name: None}

    run(test())


def test_a_jar_is_for_one_host_and_not_for_ever() -> None:
    jar = Jar("https://chatgpt.com/backend-api/codex")
    jar.hear(
        ["ours=1; Domain=.chatgpt.com; Path=/; Max-Age=60; Secure", "far=1; Domain=openai.com"]
    )
    jar.hear(
        ["elsewhere=1; Path=/other; Max-Age=60", "over=1; Max-Age=0", "\x00", "long=" + "x" * 5000]
    )
    assert jar.header() == "ours=1"
    assert [line.partition("=")[0] for line in jar.kept()] == ["elsewhere", "ours"]
    assert Jar("https://chatgpt.com/", jar.kept()).header() == "ours=1"
    assert Jar("https://example.com/", jar.kept()).header() == ""
    assert jar.hear(["ours=1; Domain=.chatgpt.com; Path=/; Max-Age=0"])
    assert jar.header() == ""
    jar.hear([f"c{n}=1" for n in range(200)])
    assert jar.header().count("=") <= MOST


@pytest.mark.parametrize("age", [10**12, 10**20])
def test_a_cookie_for_ever_lasts_as_long_as_dates_do(age: int) -> None:
    jar = Jar("https://chatgpt.com/backend-api/codex")
    assert jar.hear([f"ours=1; Path=/; Max-Age={age}"])
    [line] = jar.kept()
    assert "Expires=Fri, 31 Dec 9999" in line
    assert Jar("https://chatgpt.com/", (line,)).header() == "ours=1"


@pytest.mark.parametrize("window", ["primary", "secondary"])
def test_either_window_ends_the_service_until_its_reset(scene: Scene, window: str) -> None:
    async def test() -> None:
        pool = await scene.with_all(ADA, BOB)
        seat = await take(pool)
        seat.heard(used(99.5, window=window))
        assert told(pool, ADA).state == "ready"
        seat.heard(used(100, window=window))
        seat.end()
        shown = told(pool, ADA)
        assert (shown.state, shown.reason) == ("limited", "usage_limit_reached")
        assert shown.until == NOW + 3600
        none = await refused(pool)
        assert (none.status, none.code) == (429, "usage_limit_reached")
        assert none.resets_at == NOW + 3600 and "ada@example.com" in none.message
        scene.clock.now = NOW + 3600
        assert await once(pool) == "ada"

    run(test())


def test_a_refusal_outranks_a_page_until_its_reset(scene: Scene) -> None:
    async def test() -> None:
        pool = await scene.with_all(ADA)
        seat = await take(pool)
        seat.refused(429, exhausted())
        seat.heard(used(1))
        seat.limits({"type": "codex.rate_limits", "rate_limits": {"primary": {"used_percent": 1}}})
        seat.refused(429, BURSTING)
        seat.end()
        assert (await refused(pool)).resets_at == NOW + 3600
        scene.clock.now = NOW + 3600.5
        assert await once(pool) == "ada"

    run(test())


def test_a_new_login_is_not_held_up_by_the_old_one(scene: Scene) -> None:
    async def test() -> None:
        pool = await scene.with_all(ADA)
        seat = await take(pool)
        seat.refused(429, exhausted())
        seat.heard(used(100))
        await pool.add(login("ada", plan="pro"))
        assert await once(pool) == "ada" and told(pool, ADA).plan == "pro"

    run(test())


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500, 503])
def test_a_fault_of_the_clients_never_counts(scene: Scene, status: int) -> None:
    async def test() -> None:
        pool = await scene.with_all(ADA)
        seat = await take(pool)
        seat.refused(status, exhausted())
        seat.end()
        assert told(pool, ADA).state == "ready" and await once(pool) == "ada"

    run(test())


def test_others_serve_only_where_the_user_wants_it(scene: Scene) -> None:
    async def test() -> None:
        pool = await scene.with_all(ADA, BOB, EVE, failover=True)
        seats = await pool.seats("s")
        assert [seat.account.id for seat in seats][0] == ADA.name and len(seats) == 3
        seats[0].begin()
        seats[0].refused(429, exhausted())
        seats[1].begin()
        second = seats[1].account.id
        assert [told(pool, who).in_flight for who in (ADA, BOB, EVE)].count(1) == 2
        for seat in seats:
            seat.end()
        assert [account.in_flight for account in pool.known()] == [0, 0, 0]
        assert [one.account.id for one in await pool.seats("s")][0] == second
        scene.clock.now += 3601
        assert [one.account.id for one in await pool.seats("s")][0] == second  # it stays there
        assert [one.account.id for one in await pool.seats("t")][0] == ADA.name
        await pool.select(ADA.name)
        assert [one.account.id for one in await pool.seats("s")][0] == ADA.name

    run(test())


def test_when_all_are_limited_the_first_reset_is_told(scene: Scene) -> None:
    async def test() -> None:
        pool = await scene.with_all(ADA, BOB, failover=True)
        first, second = await pool.seats("")
        first.refused(429, exhausted(900))
        second.refused(429, exhausted(600))
        none = await refused(pool)
        assert (none.status, none.code) == (429, "usage_limit_reached")
        assert none.resets_at == NOW + 600

    run(test())


def test_places_at_an_account(scene: Scene) -> None:
    async def test() -> None:
        pool = await scene.with_all(ADA, limit=2, patience=5)
        seats = [await take(pool) for _ in range(2)]
        assert (told(pool, ADA).state, told(pool, ADA).in_flight) == ("busy", 2)
        waiting = [asyncio.create_task(take(pool)) for _ in range(10)]
        await asyncio.sleep(0.05)
        assert not any(task.done() for task in waiting) and told(pool, ADA).in_flight == 2
        seats[0].end()
        seats[0].end()
        await asyncio.sleep(0.05)
        assert sum(task.done() for task in waiting) == 1 and told(pool, ADA).in_flight == 2
        seats[1].end()
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        del seats, waiting, task

    run(test())


def test_waiting_for_a_place_ends(scene: Scene) -> None:
    async def test() -> None:
        pool = await scene.with_all(ADA, BOB, limit=1)
        seat = await take(pool)
        none = await refused(pool)
        assert (none.status, none.code) == (429, "rate_limit_exceeded")
        assert none.resets_at == NOW + 5
        seat.end()
        assert await once(pool) == "ada"

    run(test())


def test_a_seat_that_is_forgotten_is_given_back(scene: Scene) -> None:
    async def test() -> None:
        pool = await scene.with_all(ADA, limit=1)
        await pool.seats("")
        gc.collect()
        assert told(pool, ADA).in_flight == 0
        assert await once(pool) == "ada"

    run(test())


def test_a_burst_is_waited_out_and_the_session_stays(scene: Scene) -> None:
    async def test() -> None:
        pool = await scene.with_all(ADA, BOB, strategy="sticky", failover=True, patience=5)
        first = await once(pool, "s")
        seat = await take(pool, "s")
        seat.refused(429, BURSTING)
        seat.end()
        shown = next(account for account in pool.known() if account.id == seat.account.id)
        assert (shown.state, shown.until) == ("busy", NOW + BURST)
        scene.clock.now += BURST - 0.1
        later = asyncio.get_running_loop().call_later(
            0.05, lambda: setattr(scene.clock, "now", NOW + BURST)
        )
        assert await once(pool, "s") == first
        later.cancel()

    run(test())


def test_round_robin_turns_by_conversations(scene: Scene) -> None:
    async def test() -> None:
        pool = await scene.with_all(ADA, BOB, EVE, strategy="round_robin")
        firsts = [await once(pool, f"s{n}") for n in range(6)]
        assert firsts == ["ada", "bob", "eve"] * 2
        assert [await once(pool, f"s{n}") for n in range(6)] == firsts
        assert [await once(pool) for _ in range(3)] == ["ada", "bob", "eve"]

    run(test())


def test_least_used_and_then_the_first_reset(scene: Scene) -> None:
    async def test() -> None:
        pool = await scene.with_all(ADA, BOB, EVE, failover=True, strategy="least_used")
        by_name = {seat.account.id: seat for seat in await pool.seats("")}
        by_name[ADA.name].heard(used(30, 100))
        by_name[BOB.name].heard(used(20, 900))
        by_name[EVE.name].heard(used(20, 300))
        for seat in by_name.values():
            seat.end()
        names = [seat.account.id for seat in await pool.seats("new")]
        assert names == [EVE.name, BOB.name, ADA.name]

    run(test())


def test_sticky_is_the_same_in_every_process(scene: Scene) -> None:
    async def test() -> None:
        pool = await scene.with_all(ADA, BOB, EVE, strategy="sticky")
        firsts = {f"s{n}": await once(pool, f"s{n}") for n in range(20)}
        assert len(set(firsts.values())) == 3
        other = scene.pool(strategy="sticky")
        assert {session: await once(other, session) for session in firsts} == firsts

    run(test())


def test_a_session_leaves_an_exhausted_account(scene: Scene) -> None:
    async def test() -> None:
        pool = await scene.with_all(ADA, BOB, strategy="sticky")
        seat = await take(pool, "s")
        seat.refused(429, exhausted())
        seat.end()
        second = await once(pool, "s")
        assert second != seat.account.email.partition("@")[0]
        scene.clock.now += 3601
        assert await once(pool, "s") == second

    run(test())


def ordered(strategy: Strategy, *candidates: Candidate, served: str | None = None) -> list[str]:
    return order(strategy, candidates, session="s", served=served, selected="b", turn=0)


def test_orders() -> None:
    a, b = Candidate("a", used=5, resets=9), Candidate("b", used=5, resets=7)
    assert ordered("selected", a, b) == ["b", "a"]
    assert ordered("least_used", a, b) == ["b", "a"]
    assert ordered("round_robin", a, b) == ["a", "b"]
    assert ordered("least_used", a, b, served="a") == ["a", "b"]
    busy = Candidate("b", free=False)
    assert ordered("selected", a, busy) == ["b", "a"]  # which is waited for
    assert ordered("least_used", a, busy) == ["a", "b"]
    assert ordered("round_robin", busy, a) == ["a", "b"]
    assert ordered("least_used", Candidate("a", resets=math.inf, in_flight=1), b) == ["a", "b"]


def test_a_login_that_is_over_is_shown_and_not_tried_again(scene: Scene) -> None:
    async def test() -> None:
        pool = await scene.with_all(login("ada", -1), BOB)
        scene.service.fault = Dead("refresh_token_expired")
        for _ in range(3):
            none = await refused(pool)
            assert (none.status, none.code) == (401, "no_account")
            assert "refresh_token_expired" in none.message and "ada@" in none.message
        assert scene.service.asked == ["rt-ada"]
        shown = pool.snapshot()["accounts"][0]
        assert (shown["state"], shown["reason"]) == ("dead", "refresh_token_expired")
        other = scene.pool(failover=True)
        assert await once(other) == "bob"
        scene.service.fault = None
        await pool.add(ADA)
        assert await once(pool) == "ada"

    run(test())


def test_a_login_service_that_is_away(scene: Scene) -> None:
    async def test() -> None:
        scene.service.fault = Unreachable("the login service: HTTP 503")
        pool = await scene.with_all(login("ada", -1), BOB)
        none = await refused(pool)
        assert (none.status, none.code) == (503, "login_unreachable")
        assert "HTTP 503" in none.message and none.resets_at == NOW + 5
        assert told(pool, ADA).in_flight == 0
        pool.rules = Rules(failover=True)
        assert await once(pool) == "bob"

    run(test())


def test_a_401_renews_once_for_all(scene: Scene) -> None:
    async def test() -> None:
        pool = await scene.with_all(ADA)
        scene.clock.now += 120
        seats = [await take(pool) for _ in range(3)]
        before = [seat.secrets() for seat in seats]
        assert await asyncio.gather(*(seat.renew() for seat in seats)) == [True] * 3
        assert scene.service.asked == ["rt-ada"]
        assert all(seat.secrets() != old for seat, old in zip(seats, before, strict=True))
        scene.service.fault = Dead("invalid_grant")
        scene.clock.now += 120
        assert await seats[0].renew() is False
        assert told(pool, ADA).state == "dead"

    run(test())


def test_logout(scene: Scene) -> None:
    async def test() -> None:
        pool = await scene.with_all(ADA, BOB)
        await pool.logout(ADA.name)
        assert await once(pool) == "bob" and "rt-ada" not in scene.file.read_text()
        with pytest.raises(LookupError):
            await pool.logout(ADA.name)
        await pool.logout(BOB.name)
        assert (await refused(pool)).code == "no_account" and pool.known() == []

    run(test())


def codexs(folder: Path, tokens: Tokens) -> Path:
    path = folder / "auth.json"
    kept = {"access_token": tokens.access, "refresh_token": tokens.refresh, "id_token": ""}
    path.write_text(json.dumps({"tokens": kept}))
    path.chmod(0o600)
    return path


def test_codexs_own_login(scene: Scene, tmp_path: Path) -> None:
    async def test() -> None:
        scene.codex = codexs(tmp_path, ADA)
        pool = await scene.with_all(BOB)
        assert [account.source for account in pool.known()] == ["codex", "login"]
        assert await once(pool) == "ada"
        with pytest.raises(LookupError, match="relay_chatgpt_auth"):
            await pool.logout(ADA.name)
        codexs(tmp_path, EVE)  # the user logs in as somebody else there
        assert await once(pool) == "eve"
        scene.codex.unlink()
        assert await once(pool) == "bob"
        assert "codex login" in pool.roster.trouble

    run(test())


def test_a_login_of_codexs_that_is_not_there(scene: Scene, tmp_path: Path) -> None:
    async def test() -> None:
        scene.codex = tmp_path / "auth.json"
        none = await refused(scene.pool())
        assert none.status == 401 and "codex login" in none.message

    run(test())


def test_the_snapshot(scene: Scene) -> None:
    async def test() -> None:
        pool = await scene.with_all(ADA)
        seat = await take(pool)
        fields = {"x-codex-credits-balance": "3"}
        seat.heard(used(12))
        seat.heard(Response.make(200, b"", fields))
        window = {"used_percent": 12.0, "window_minutes": None, "resets_at": NOW + 3600}
        account = {
            "id": ADA.name,
            "email": "ada@example.com",
            "plan": "plus",
            "source": "login",
            "selected": True,
            "state": "ready",
            "reason": None,
            "until": None,
            "expires": NOW + 86_400,
            "in_flight": 1,
            "quota": {"primary": window, "secondary": None, "at": NOW},
            "credits": {"balance": "3"},
        }
        assert pool.snapshot() == {
            "accounts": [account],
            "strategy": "selected",
            "failover": False,
            "login": None,
        }

    run(test())


def test_the_usage_page_is_for_those_in_use(scene: Scene) -> None:
    async def test() -> None:
        pool = await scene.with_all(ADA)
        member = pool.roster.members[ADA.name]
        assert not due(member, 0, NOW)
        assert due(member, NOW, NOW)
        member.asked = NOW
        assert not due(member, NOW, NOW + EVERY - 1)
        member.used = NOW + EVERY
        assert due(member, 0, NOW + EVERY + SPREAD)
        assert not due(member, 0, NOW + 3 * EVERY)
        (await take(pool)).heard(used(3))
        assert not due(member, NOW, NOW)  # a reply told it
        member.learn(Limit("usage_limit_reached", NOW + 9), NOW)
        member.dead = "invalid_grant"
        assert not due(member, NOW + EVERY + SPREAD, NOW + EVERY + SPREAD)

    run(test())
