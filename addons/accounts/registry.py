"""The accounts that are there: those of the vault, and Codex's own where its file is used."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from addons.accounts import oauth
from addons.accounts.codex_auth_file import CodexFile
from addons.accounts.cookies import Jar
from addons.accounts.locked_file import Unavailable
from addons.accounts.member import Member
from addons.accounts.token_refresh import Fresh, Refresh
from addons.accounts.tokens import Tokens
from addons.accounts.vault import Book, Entry, Slot, Vault


class Roster:
    def __init__(
        self,
        vault: Vault,
        codex: Path | None = None,
        url: str = "",  # of the service, whose cookies are kept
        now: Callable[[], float] = time.time,
        refresh: Refresh = oauth.refresh,
    ) -> None:
        self.members: dict[str, Member] = {}
        self.chosen = ""  # by the user, in the vault
        self.trouble = ""  # why some are not there that should be
        self._vault, self._codex = vault, CodexFile(codex) if codex else None
        self._url, self._now, self._refresh = url, now, refresh
        self._looking: asyncio.Task[None] | None = None
        self._changes = 0
        self._baked: set[str] = set()  # whose cookies are to be kept

    async def look(self) -> None:
        """See what Codex, other processes and the user did to the logins. Never raises."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        await asyncio.shield(self._looking)

    async def add(self, tokens: Tokens) -> str:
        """A login, and the account's name. It serves if there was no other. Raises Unavailable."""
        name = tokens.name
        first = "" if self.members else name

        def added(book: Book) -> Book:
            old = book.entries.get(name)
            entry = Entry(tokens, None, old.cookies if old else ())
            return replace(book.having(name, entry), selected=book.selected or first)

        await self._change(added)
        if member := self.members.get(name):
            member.begin_anew()
        return name

    async def select(self, name: str) -> None:
        """Raises LookupError, Unavailable."""
        if name not in self.members:
            raise LookupError(f"no account {name}")
        await self._change(lambda book: replace(book, selected=name))

    async def logout(self, name: str) -> None:
        """Forget a login. Raises LookupError for one that is not ours, Unavailable."""
        if name not in self.members:
            raise LookupError(f"no account {name}")
        if self.members[name].source == CodexFile.source:
            raise LookupError(f"{name} is Codex's own login: unset relay_chatgpt_auth")

        def removed(book: Book) -> Book:
            selected = "" if book.selected == name else book.selected
            return replace(book.without(name), selected=selected)

        await self._change(removed)

    def baked(self, member: Member) -> None:
        """This one's cookies have changed."""
        if member.source == Slot.source:
            self._baked.add(member.name)

    async def keep_cookies(self) -> None:
        """Those that have changed; never raises."""
        jars = {name: self.members[name].jar for name in self._baked if name in self.members}
        self._baked.clear()

        def kept(book: Book) -> Book:
            for name, jar in jars.items():
                if entry := book.entries.get(name):
                    book = book.having(name, replace(entry, cookies=jar.kept()))
            return book

        try:
            await self._change(kept) if jars else None
        except Unavailable as error:
            logging.warning(f"Cookies of the ChatGPT accounts are not kept: {error}")

    async def finish(self) -> None:
        """Hear out what was sent to the login service, and keep what is to be kept."""
        members = list(self.members.values())
        await asyncio.gather(*(member.fresh.finish() for member in members))
        await self.keep_cookies()

    async def _change(self, work: Callable[[Book], Book]) -> None:
        book = await asyncio.to_thread(self._vault.change, work)
        self._changes += 1
        self._apply(book, self._codexs())

    async def _look(self) -> None:
        changes = self._changes
        book, codex, trouble = await asyncio.to_thread(self._read)
        if changes != self._changes:  # what was seen is older than what was done
            return
        if trouble != self.trouble and trouble:
            logging.warning(f"ChatGPT accounts: {trouble}")
        self.trouble = trouble
        self._apply(book, codex)

    def _read(self) -> tuple[Book | None, Tokens | None, str]:
        book, codex, troubles = None, None, []
        try:
            book = self._vault.read()
        except Unavailable as error:
            troubles.append(str(error))
        try:
            codex = self._codex.found() if self._codex else None
        except Unavailable as error:
            troubles.append(str(error))
        return book, codex, "; ".join(troubles)

    def _codexs(self) -> Tokens | None:
        sources = (one for one in self.members.values() if one.source == CodexFile.source)
        return next((member.tokens for member in sources), None)

    def _apply(self, book: Book | None, codex: Tokens | None) -> None:
        """`book`: None where it could not be read, so that what is known of it stays."""
        old, self.members = self.members, {}
        if codex and self._codex:
            self._put(old, codex, self._codex, self._codex.dead(codex))
        if book is None:
            return self._keep(old)
        self.chosen = book.selected
        for name, entry in book.entries.items():
            if name not in self.members:
                self._put(old, entry.tokens, Slot(self._vault, name), entry.dead, entry.cookies)

    def _keep(self, old: dict[str, Member]) -> None:
        for name, member in old.items():
            if member.source == Slot.source:
                self.members.setdefault(name, member)

    def _put(
        self,
        old: dict[str, Member],
        tokens: Tokens,
        home: Slot | CodexFile,
        dead: str | None,
        cookies: tuple[str, ...] = (),
    ) -> None:
        name = home.name if isinstance(home, Slot) else tokens.name
        member = old.get(name)
        if member is None or member.source != home.source:
            fresh = Fresh(home, self._refresh, self._now)
            member = Member(name, home.source, fresh, Jar(self._url, cookies), tokens)
        member.tokens, member.dead = tokens, dead
        self.members[name] = member
