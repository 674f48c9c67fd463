"""Which provider a request goes to, and what that one calls the model."""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from mitmproxy.http import HTTPFlow

from addons import config, upstream
from addons.upstream import Target
from translate import BadRequest


@dataclass(frozen=True)
class Choice:
    target: Target
    model: str  # as that provider calls it


async def choices(flow: HTTPFlow, asked: str, role: str | None) -> list[Choice]:
    """Where a request for this model may go, in the order in which that is tried.

    The role's model comes first, then a rename, then what the client asked for. What comes in at
    the port of one provider stays with it. Raises BadRequest where there is nowhere to go.
    """
    home, alone = upstream.target(flow), bool(upstream.at_port(flow))
    for names in (configured_for(role), renamed(asked)):
        if alone:  # a bare name was meant for the main port, unless it is one of this provider's
            known, scope = await listed(home) or (), f"{home.provider.name}/"
            names = tuple(name for name in names if name in known or name.startswith(scope))
        if found := await each(home, names):
            return [one for one in found if upstream.ready(one.target)] or found[:1]
    return [await wanted(home, asked, alone=alone)]


async def each(home: Target, names: tuple[str, ...]) -> list[Choice]:
    """Those that have a place. Raises BadRequest where none has."""
    found, faults = [], []
    for name in names:
        try:
            found.append(await chosen(home, name))
        except BadRequest as fault:
            faults.append(fault)
    if faults and not found:
        raise faults[0]
    return found


def configured_for(role: str | None) -> tuple[str, ...]:
    return dict(config.settings().role_map).get(role, ())  # type: ignore[call-overload,no-any-return]  # None is no role


def renamed(asked: str) -> tuple[str, ...]:
    renames = config.settings().model_map
    return next((names for pattern, names in renames if fnmatchcase(asked, pattern)), ())


async def chosen(home: Target, name: str) -> Choice:
    """A model that the user configured: `model`, or `provider/model`."""
    prefix, _, rest = name.partition("/")
    if not rest or prefix not in config.providers() or name in (await listed(home) or ()):
        return Choice(home, name)
    return Choice(home if prefix == home.provider.name else upstream.named(prefix), rest)


async def wanted(home: Target, asked: str, *, alone: bool) -> Choice:
    """A model that a client names; the default one for what nobody lists."""
    default = home.provider.model if alone else config.settings().model or home.provider.model
    placed = [name for name in config.served() if config.providers()[name].base_urls]
    others = [] if alone else [name for name in placed if name != home.provider.name]
    prefix, _, rest = asked.partition("/")
    scoped = bool(rest) and prefix in config.providers() and not alone
    if not (default or others or scoped):
        return Choice(home, asked)
    names = await listed(home)
    if asked in (names or ()):
        return Choice(home, asked)
    # A name with a slash may be the upstream's own, where we do not know what that lists.
    if scoped and (prefix in (*others, home.provider.name) or (names and has_key(prefix))):
        return await chosen(home, asked)
    for other in map(upstream.named, others):
        if asked in (await listed(other) or ()):
            return Choice(other, asked)
    return await chosen(home, default) if default else Choice(home, asked)


def has_key(name: str) -> bool:
    return bool(config.providers()[name].base_urls) and upstream.named(name).key is not None


async def listed(target: Target) -> list[str] | None:
    """The models that a provider lists; None where it does not tell."""
    found = await upstream.listed(target)
    return None if found is None else [entry.id for entry in found]
