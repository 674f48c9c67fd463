"""All accounts that are logged in: those in the vault, and Codex's own if its file is used."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from addons.accounts.codex_auth_file import CodexAuthFile
from addons.accounts.locked_file import LoginStoreUnavailable
from addons.accounts.member import AccountCookies, Member
from addons.accounts.oauth import refresh_tokens
from addons.accounts.token_refresh import RefreshCall, TokenRefresher
from addons.accounts.tokens import Tokens
from addons.accounts.vault import SavedLogin, Vault, VaultContents, VaultLogin


class AccountNotFound(Exception):
    """The relay has no account of this name, or may not change it; the text says which."""


class AccountRegistry:
    def __init__(
        self,
        vault: Vault,
        codex_file: Path | None = None,
        url: str = "",  # the service's, which sets cookies
        now: Callable[[], float] = time.time,
        refresh: RefreshCall = refresh_tokens,
    ) -> None:
        self.members: dict[str, Member] = {}
        self.selected_name = ""  # the user's choice, which the vault keeps
        self.problem = ""  # why some logins cannot be read
        self._vault, self._codex_file = vault, CodexAuthFile(codex_file) if codex_file else None
        self._url, self._now, self._refresh = url, now, refresh
        self._reload_task: asyncio.Task[None] | None = None
        self._change_count = 0
        self._cookie_problem = ""  # why cookies could not be saved

    async def reload(self) -> None:
        """Read the logins again, which Codex and other processes may have changed. Never raises."""
        if self._reload_task is None or self._reload_task.done():
            self._reload_task = asyncio.create_task(self._reload())
        await asyncio.shield(self._reload_task)

    async def add_login(self, tokens: Tokens) -> str:
        """Save a login; returns its account's name. The first account is selected. Raises
        LoginStoreUnavailable."""
        name = tokens.account_name
        first = "" if self.members else name

        def add_to(contents: VaultContents) -> VaultContents:
            old = contents.logins.get(name)
            login = SavedLogin(tokens, None, old.cookie_lines if old else ())
            return replace(
                contents.with_login(name, login), selected_name=contents.selected_name or first
            )

        await self._update_vault(add_to)
        if member := self.members.get(name):
            member.forget_limits()
        return name

    async def select_account(self, name: str) -> None:
        """Raises AccountNotFound, LoginStoreUnavailable."""
        if name not in self.members:
            raise AccountNotFound(f"no account {name}")
        await self._update_vault(lambda contents: replace(contents, selected_name=name))

    async def log_out(self, name: str) -> None:
        """Forget a login. Raises AccountNotFound, for Codex's own login as well, and
        LoginStoreUnavailable."""
        if name not in self.members:
            raise AccountNotFound(f"no account {name}")
        if self.members[name].source == CodexAuthFile.source:
            raise AccountNotFound(f"{name} is Codex's own login: unset relay_chatgpt_auth")

        def remove_from(contents: VaultContents) -> VaultContents:
            selected = "" if contents.selected_name == name else contents.selected_name
            return replace(contents.without_login(name), selected_name=selected)

        await self._update_vault(remove_from)

    async def save_cookies(self) -> None:
        """Save the cookies that have changed. Never raises."""
        members = [member for member in self.members.values() if member.source == VaultLogin.source]
        unsaved = {member.name: member.cookies.take_unsaved() for member in members}
        changes = {name: lines for name, lines in unsaved.items() if lines is not None}
        if not changes:
            return

        def store_in(contents: VaultContents) -> VaultContents:
            for name, lines in changes.items():
                if login := contents.logins.get(name):
                    contents = contents.with_login(name, replace(login, cookie_lines=lines))
            return contents

        try:
            await self._update_vault(store_in)
        except LoginStoreUnavailable as error:
            for member in members:
                if member.name in changes:
                    member.cookies.mark_unsaved()
            if str(error) != self._cookie_problem:  # it is tried again and again
                logging.warning(f"Cookies of the ChatGPT accounts are not kept yet: {error}")
            self._cookie_problem = str(error)
        else:
            self._cookie_problem = ""

    async def finish(self) -> None:
        """Wait for renewals that are under way, and save changed cookies."""
        members = list(self.members.values())
        await asyncio.gather(*(member.refresher.finish_refresh() for member in members))
        await self.save_cookies()

    async def _update_vault(self, change: Callable[[VaultContents], VaultContents]) -> None:
        contents = await asyncio.to_thread(self._vault.update_contents, change)
        self._change_count += 1
        self._replace_members(contents, self._codex_tokens())

    async def _reload(self) -> None:
        change_count = self._change_count
        contents, codex_tokens, problem = await asyncio.to_thread(self._read_stores)
        if change_count != self._change_count:  # the relay itself has changed the vault since
            return
        if problem != self.problem and problem:
            logging.warning(f"ChatGPT accounts: {problem}")
        self.problem = problem
        self._replace_members(contents, codex_tokens)

    def _read_stores(self) -> tuple[VaultContents | None, Tokens | None, str]:
        contents, codex_tokens, problems = None, None, []
        try:
            contents = self._vault.read_contents()
        except LoginStoreUnavailable as error:
            problems.append(str(error))
        try:
            codex_tokens = self._codex_file.stored_tokens() if self._codex_file else None
        except LoginStoreUnavailable as error:
            problems.append(str(error))
        return contents, codex_tokens, "; ".join(problems)

    def _codex_tokens(self) -> Tokens | None:
        members = (
            member for member in self.members.values() if member.source == CodexAuthFile.source
        )
        return next((member.tokens for member in members), None)

    def _replace_members(self, contents: VaultContents | None, codex_tokens: Tokens | None) -> None:
        """Replace `members` by these logins; a member whose store is the same keeps its state.
        `contents`: None if the vault cannot be read; its members then stay."""
        old, self.members = self.members, {}
        if codex_tokens and self._codex_file:
            end_reason = self._codex_file.end_reason_of(codex_tokens)
            self._put_member(old, codex_tokens, self._codex_file, end_reason)
        if contents is None:
            return self._keep_vault_members(old)
        self.selected_name = contents.selected_name
        for name, login in contents.logins.items():
            if name not in self.members:
                store = VaultLogin(self._vault, name)
                self._put_member(old, login.tokens, store, login.end_reason, login.cookie_lines)

    def _keep_vault_members(self, old: dict[str, Member]) -> None:
        for name, member in old.items():
            if member.source == VaultLogin.source:
                self.members.setdefault(name, member)

    def _put_member(
        self,
        old: dict[str, Member],
        tokens: Tokens,
        store: VaultLogin | CodexAuthFile,
        end_reason: str | None,
        cookies: tuple[str, ...] = (),
    ) -> None:
        name = store.name if isinstance(store, VaultLogin) else tokens.account_name
        member = old.get(name)
        if member is None or member.source != store.source:
            refresher = TokenRefresher(store, self._refresh, self._now)
            jar = AccountCookies(self._url, cookies)
            member = Member(name, store.source, refresher, jar, tokens)
        member.set_login(tokens, end_reason)
        self.members[name] = member
