"""The models that are offered: OpenAI's list of them, one of it, and Codex's catalog."""

import asyncio
from dataclasses import replace

from mitmproxy.http import HTTPFlow

from addons.config import addon as config
from addons.ingress import routes
from addons.ingress.local_reply import answer_json, refuse
from addons.ingress.routes import Route
from addons.routing import model_lists as models
from addons.routing import target as upstream
from translate import BadRequest, variant
from translate.providers import catalog


class Listing:
    async def request(self, flow: HTTPFlow) -> None:
        if flow.live and not flow.response and (reply := ANSWERS.get(routes.route_of(flow))):
            await reply(flow)

    def done(self) -> None:
        models.forget()


async def every(flow: HTTPFlow) -> None:
    """Codex says its version when it wants its own form."""
    if "client_version" in flow.request.query:
        await for_codex(flow)
    else:
        answer_json(flow, catalog.to_openai(await offered(flow)))


async def for_codex(flow: HTTPFlow) -> None:
    entries, base = await asyncio.gather(offered(flow), models.base())
    title = upstream.source(flow).provider.title
    form = catalog.to_codex(entries, base, owner=title)
    if form["models"]:
        answer_json(flow, form)
    else:  # an empty list would replace Codex's own
        refuse(flow, 404, f"{title} lists no models; relay_model may name one.")


async def one(flow: HTTPFlow) -> None:
    """https://platform.openai.com/docs/api-reference/models/retrieve"""
    name = routes.id_of(flow)
    known = {entry["id"]: entry for entry in catalog.to_openai(await offered(flow))["data"]}
    home = upstream.source(flow).provider
    meant = variant(name.removeprefix(f"{home.name}/"), known, home.aliases)
    if meant and meant.model in known:
        answer_json(flow, {**known[meant.model], "id": name})
    else:
        message = f"The model {name!r} is not offered here; GET /v1/models lists those that are."
        refuse(flow, 404, message, "model_not_found", "model")


async def offered(flow: HTTPFlow) -> list[catalog.Entry]:
    """The models of this port's upstream, and of all others that may be asked by it."""
    settings, home, alone = config.settings(), upstream.source(flow), upstream.at_port(flow)
    others = [] if alone else [name for name in beside() if name != home.provider.name]
    own = upstream.listed(home) if home.url else nothing()
    found = await asyncio.gather(own, *map(scoped, others))
    return catalog.offered(
        [entry for entries in found for entry in entries or []],
        home.provider,
        model=home.provider.model if alone else settings.model or home.provider.model,
        renames=[] if alone else [(name, to[0]) for name, to in settings.model_map],
    )


def beside() -> list[str]:
    """The providers that are asked by a prefix: those of the settings, and the accounts'."""
    account = upstream.account()
    return list(dict.fromkeys([*config.served(), *([account.provider.name] if account else [])]))


async def scoped(name: str) -> list[catalog.Entry]:
    """The models of another provider, under names by which they are found."""
    try:
        listed = await upstream.listed(upstream.named(name))
    except BadRequest:
        return []
    return [replace(entry, id=f"{name}/{entry.id}") for entry in listed or []]


async def nothing() -> None:
    return None


ANSWERS = {Route.MODELS: every, Route.MODEL: one}
