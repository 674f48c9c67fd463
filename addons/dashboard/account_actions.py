"""The accounts of this proxy, as the pages handle them: what goes wrong is said in words."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from addons.accounts import addon
from addons.accounts.locked_file import Unavailable
from addons.accounts.login import fault_of
from addons.accounts.login_callback import Taken
from addons.accounts.oauth import Dead, Unreachable


class Pooled:
    def snapshot(self) -> dict[str, Any]:
        return addon.snapshot()

    async def select(self, id: str) -> None:
        with spoken():
            await addon.pool().select(id)

    async def logout(self, id: str) -> None:
        with spoken():
            await addon.pool().logout(id)

    async def login(self, kind: str) -> None:
        ways = {"browser": addon.login().browser, "device": addon.login().device}
        with spoken():
            await ways[kind]()

    async def cancel(self) -> None:
        await addon.login().cancel()


@contextmanager
def spoken() -> Iterator[None]:
    """Faults that a person can do something about, as ValueError."""
    try:
        yield
    except (LookupError, Taken, Unavailable) as error:
        raise ValueError(str(error.args[0] if error.args else error)) from None
    except (Dead, Unreachable) as error:
        raise ValueError(fault_of(error)) from None
