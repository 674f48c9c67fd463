"""Which provider a request goes to, and what that one calls the model."""

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from mitmproxy.http import HTTPFlow

from addons.config import addon as config
from addons.ingress import routes
from addons.ingress.routes import Route
from addons.routing import target as upstream
from addons.routing.target import Target
from translate import BadRequest, Variant, variant


@dataclass(frozen=True)
class Choice:
    target: Target
    model: str  # as that provider calls it
    variant: Variant | None = None  # what its name asks for beside it


async def choices(flow: HTTPFlow, asked: str, role: str | None) -> list[Choice]:
    """Where a request for this model may go, in the order in which that is tried.

    The role's model comes first, then a rename, then what the client asked for. What comes in at
    the port of one provider stays with it. Raises BadRequest where there is nowhere to go.
    """
    return [await settled(choice) for choice in await places(flow, asked, role)]


async def settled(choice: Choice) -> Choice:
    """With an account's model under its own name, where the client has another for it."""
    provider = choice.target.provider
    if not provider.accounts:
        return choice
    meant = variant(choice.model, await listed(choice.target) or (), provider.aliases)
    return replace(choice, model=meant.model, variant=meant) if meant else choice


async def places(flow: HTTPFlow, asked: str, role: str | None) -> list[Choice]:
    home, alone = upstream.target(flow), bool(upstream.at_port(flow))
    for names in (configured_for(role), renamed(asked)):
        if alone:  # a bare name was meant for the main port, unless it is one of this provider's
            known, scope = await listed(home) or (), f"{home.provider.name}/"
            names = tuple(name for name in names if name in known or name.startswith(scope))
        if found := await each(home, names):
            return [one for one in found if upstream.ready(one.target)] or found[:1]
    if alone:
        return [await at_home(home, asked, home.provider.model)]
    return [await wanted(home, asked, chat=routes.route_of(flow) is Route.CHAT)]


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


async def at_home(home: Target, asked: str, default: str) -> Choice:
    """The default model for what it does not list."""
    if not default or asked in (await listed(home) or ()):
        return Choice(home, asked)
    return await chosen(home, default)


async def wanted(home: Target, asked: str, *, chat: bool) -> Choice:
    """A model that a client names."""
    default = config.settings().model or home.provider.model
    placed = [name for name in config.served() if config.providers()[name].base_urls]
    others = [upstream.named(name) for name in placed if name != home.provider.name]
    account = None if home.provider.accounts else upstream.account()
    prefix, _, rest = asked.partition("/")
    scoped = bool(rest) and prefix in config.providers()
    if not (others or scoped or account):
        return await at_home(home, asked, default)
    names = await listed(home)
    if asked in (names or ()):
        return Choice(home, asked)
    near = [to.provider.name for to in (home, *others)]
    # A name with a slash may be the upstream's own, where we do not know what that lists.
    if scoped and (prefix in near or names and is_ready(prefix) or is_login(prefix)):
        return await chosen(home, asked)
    return await elsewhere(others, account, asked, chat=chat) or await at_home(home, asked, default)


async def elsewhere(
    others: list[Target], account: Target | None, asked: str, *, chat: bool
) -> Choice | None:
    """Another provider that has a model of this name. What nobody lists is the account's where a
    Chat client asks: Codex asks for models of OpenAI's also where it is to have others."""
    for other in others:
        if asked in (await listed(other) or ()):
            return Choice(other, asked)
    meant = account and variant(asked, (), account.provider.aliases)
    return Choice(account, asked) if account and (chat or meant) else None


def is_login(name: str) -> bool:
    """Nobody else's models are called so; who is not logged in is told to."""
    return config.providers()[name].accounts


def is_ready(name: str) -> bool:
    provider = config.providers()[name]
    return bool(provider.base_urls) and upstream.named(name).key is not None


async def listed(target: Target) -> list[str] | None:
    """The models that a provider lists; None where it does not tell."""
    found = await upstream.listed(target)
    return None if found is None else [entry.id for entry in found]
