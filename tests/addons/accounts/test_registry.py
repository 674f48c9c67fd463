"""The accounts whose logins are in the vault and in Codex's file."""

from pathlib import Path

import pytest
from mitmproxy.http import Response

from addons.accounts.registry import AccountNotFound
from addons.accounts.vault import Vault
from tests.addons.accounts.pool_harness import (
    ADA,
    BOB,
    EVE,
    PoolHarness,
    run,
    save_logins,
    start_request,
    write_codex_file,
)


def test_first_login_is_selected(harness: PoolHarness) -> None:
    async def test() -> None:
        registry = harness.registry()
        await registry.reload()
        for tokens in (ADA, BOB):
            assert await registry.add_login(tokens) == tokens.account_name
        assert registry.selected_name == ADA.account_name
        await registry.select_account(BOB.account_name)
        assert registry.selected_name == BOB.account_name
        with pytest.raises(AccountNotFound):
            await registry.select_account("acct_0")

    run(test())


def test_logout_of_the_selected_account_selects_none(harness: PoolHarness) -> None:
    async def test() -> None:
        registry = harness.registry()
        await registry.add_login(ADA)
        await registry.log_out(ADA.account_name)
        assert (registry.selected_name, registry.members) == ("", {})

    run(test())


def test_codexs_own_login_is_not_logged_out(harness: PoolHarness, tmp_path: Path) -> None:
    async def test() -> None:
        harness.codex_file = write_codex_file(tmp_path, ADA)
        registry = harness.registry()
        await registry.reload()
        with pytest.raises(AccountNotFound, match="relay_chatgpt_auth"):
            await registry.log_out(ADA.account_name)

    run(test())


def test_codexs_own_login_comes_before_the_same_one_in_the_vault(
    harness: PoolHarness, tmp_path: Path
) -> None:
    async def test() -> None:
        save_logins(harness.file, BOB, ADA)
        harness.codex_file = write_codex_file(tmp_path, ADA)
        registry = harness.registry()
        await registry.reload()
        sources = {name: member.source for name, member in registry.members.items()}
        assert sources == {ADA.account_name: "codex", BOB.account_name: "login"}

    run(test())


def test_logins_of_other_processes_are_seen(harness: PoolHarness) -> None:
    async def test() -> None:
        registry = harness.registry()
        await registry.reload()
        save_logins(harness.file, EVE)
        await registry.reload()
        assert list(registry.members) == [EVE.account_name]

    run(test())


def test_unreadable_vault_leaves_its_accounts_and_names_the_problem(
    harness: PoolHarness, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        registry = harness.registry()
        await registry.add_login(ADA)
        harness.file.write_text('{"version": 2}')
        for _ in range(2):
            await registry.reload()
        assert list(registry.members) == [ADA.account_name]
        assert "newer mitmcodex" in registry.problem
        assert caplog.text.count("newer mitmcodex") == 1
        harness.file.unlink()
        await registry.reload()
        assert (registry.problem, registry.members) == ("", {})

    run(test())


def test_cookies_outlast_the_relay_each_with_its_account(harness: PoolHarness) -> None:
    async def test() -> None:
        pool = await harness.pool_with(ADA, BOB)
        lease = await start_request(pool)
        headers = {"set-cookie": "cf=1; Path=/; Max-Age=900; HttpOnly"}
        lease.record_reply_head(Response.make(200, b"", headers))
        await pool.registry.finish()
        restarted = harness.pool(strategy="round_robin")
        cookies = {}
        for _ in range(2):
            lease = await start_request(restarted)
            cookies[lease.summary.id] = lease.credential_headers().get("cookie")
        assert cookies == {ADA.account_name: "cf=1", BOB.account_name: None}

    run(test())


def test_cookies_that_cannot_be_saved_are_saved_later_and_logged_once(
    harness: PoolHarness, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        registry = harness.registry()
        await registry.add_login(ADA)
        registry.members[ADA.account_name].cookies.store_cookies(["cf=1; Max-Age=900"])
        saved = harness.file.read_text()
        harness.file.write_text('{"version": 2}')
        for _ in range(3):
            await registry.save_cookies()
        assert caplog.text.count("Cookies of the ChatGPT accounts are not kept yet") == 1
        harness.file.write_text(saved)
        await registry.save_cookies()
        [login] = Vault(harness.file).read_contents().logins.values()
        assert [line.partition(";")[0] for line in login.cookie_lines] == ["cf=1"]

    run(test())


def test_cookies_of_codexs_own_login_are_not_saved(harness: PoolHarness, tmp_path: Path) -> None:
    async def test() -> None:
        harness.codex_file = write_codex_file(tmp_path, ADA)
        registry = harness.registry()
        await registry.reload()
        registry.members[ADA.account_name].cookies.store_cookies(["cf=1; Max-Age=900"])
        await registry.save_cookies()
        assert Vault(harness.file).path and not harness.file.exists()

    run(test())
