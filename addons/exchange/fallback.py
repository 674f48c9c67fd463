"""Which upstream answers a request: the candidates, what comes after a failure, and the lessons
that refusals teach of a provider."""

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from mitmproxy.http import Response

from addons.config import current_settings
from addons.ingress import Route
from addons.large_work import run_sized
from addons.routing import ModelTarget, reply_advice
from addons.storage import ResponseSaver
from translate import (
    BadRequest,
    Exchange,
    ExchangeContext,
    Provider,
    RequestTooLarge,
    decode_request,
    describe_lesson,
    failure_rule,
    learn_from_refusal,
    printable,
    start_compact_exchange,
    start_exchange,
)

MEMORY_LIMIT = 256  # entries of each memory below
# Losses that a user would notice: whole tools, and input that was cut.
SERIOUS_LOSS = re.compile(r"tools\[[^\]]*\]$|input(?= \()")

type Json = dict[str, Any]

# Fields of a profile that differ from one request to the next (the model's own context window, the
# account), and their neutral values.
PER_REQUEST_FIELDS = {"context_window": 0, "host": "", "models": {}}

# How an exchange is built for each route, which also determines the client's dialect.
EXCHANGE_BUILDERS: dict[Route, Callable[..., Exchange]] = {
    Route.RELAY: partial(start_exchange, client="responses"),
    Route.COMPACT: partial(start_compact_exchange, client="responses"),
    Route.CHAT: partial(start_exchange, client="chat"),
}

# By URL and model: the profile that was refused, and the one with the lessons applied.
_learned_profiles: dict[tuple[str, str], tuple[Provider, Provider]] = {}
_known_losses: set[tuple[str, str, str]] = set()  # provider, model, what it did not get


@dataclass(frozen=True)
class Candidate:
    """An upstream that may answer a request, and the request as its provider takes it."""

    model_target: ModelTarget
    request_json: Json  # with images that fit the provider
    image_changes: list[str]  # how its images differ from the client's, for the list `dropped`
    history: Sequence[Json] | None


@dataclass(frozen=True)
class FallbackPlan:
    """The candidates for one request: the first answers it, the others if that fails."""

    route: Route
    context: ExchangeContext
    candidates: tuple[Candidate, ...]
    # Whether a refusal of the first candidate has taught a lesson. The request is sent again after
    # one lesson only; a second one applies to later requests.
    has_learned: bool = False
    response_saver: ResponseSaver | None = None  # the context's, if its response is to be stored
    notes: tuple[str, ...] = ()  # on earlier attempts, for the flow's comment

    @property
    def model_target(self) -> ModelTarget:
        return self.candidates[0].model_target

    def build_exchange(self) -> Exchange:
        """The exchange with the first candidate. Raises BadRequest."""
        candidate, target = self.candidates[0], self.model_target
        context = replace(
            self.context,
            provider=current_profile(target),
            model=target.model,
            dropped=candidate.image_changes,
            history=candidate.history,
            variant=target.variant,
            advise=partial(reply_advice, target),
        )
        if context.provider.reasoning_back == "never":  # no need to remember its reasoning
            context = replace(context, on_response_end=None)
        return EXCHANGE_BUILDERS[self.route](candidate.request_json, context=context)

    def describe_lessons(self, exchange: Exchange) -> str:
        """The lessons of the provider's refusals, in words; "" for none."""
        target = self.model_target
        return describe_lesson(target.target.provider.for_model(target.model), exchange.provider)

    async def next_attempt(
        self, exchange: Exchange, reply: Response | None
    ) -> "tuple[FallbackPlan, Exchange] | None":
        """The plan after this failure, or after no reply, and its exchange; None: the client gets
        the failure. Raises LargeWorkUnavailable."""
        title = self.model_target.target.provider.title
        if reply and (lesson := await learn_from_reply(exchange, reply, self.model_target)):
            if self.has_learned:
                return None
            notes = (*self.notes, f"learned: {lesson}")
            return await replace(self, has_learned=True, notes=notes).skip_unfit_candidates()
        if not self.candidates[1:] or (reply and not may_succeed_elsewhere(reply)):
            return None
        reason = reply.status_code if reply else "no answer"
        notes = (*self.notes, f"after {title} ({reason})")
        next_plan = replace(self, candidates=self.candidates[1:], notes=notes, has_learned=False)
        return await next_plan.skip_unfit_candidates()

    async def skip_unfit_candidates(self) -> "tuple[FallbackPlan, Exchange] | None":
        """The plan from the first candidate whose provider can take the request, and its exchange;
        None: none can. Raises LargeWorkUnavailable."""
        try:
            plan, exchange = await run_sized(self.context.request_size, self.first_fit)
        except BadRequest:
            self.release_leases()
            return None
        replace(self, candidates=self.candidates[: -len(plan.candidates)]).release_leases()
        return plan, exchange

    def first_fit(self) -> "tuple[FallbackPlan, Exchange]":
        """The plan from the first candidate whose provider can take the request, and its exchange.

        Raises the first candidate's BadRequest if none can.
        """
        try:
            return self, self.build_exchange()
        except RequestTooLarge:
            raise
        except BadRequest as error:  # for example more tools than this provider takes
            if not self.candidates[1:]:
                raise
            first_error = error
        try:
            return replace(self, candidates=self.candidates[1:]).first_fit()
        except BadRequest:
            raise first_error from None

    def release_leases(self) -> None:
        """Free the slots that the candidates hold at accounts."""
        for candidate in self.candidates:
            if lease := candidate.model_target.target.lease:
                lease.release()


def current_profile(target: ModelTarget) -> Provider:
    """The provider's profile for this model, with the lessons of its refusals."""
    provider = target.target.provider.for_model(target.model)
    key = target.target.url, target.model
    basis, learned = _learned_profiles.get(key, (None, provider))
    if basis != lasting_profile(provider):  # its table has changed since
        return provider
    fields = {name: getattr(provider, name) for name in PER_REQUEST_FIELDS}
    return learned.model_copy(update=fields)


def lasting_profile(provider: Provider) -> Provider:
    """The profile without what differs from one request to the next."""
    return provider.model_copy(update=PER_REQUEST_FIELDS)


async def learn_from_reply(exchange: Exchange, reply: Response, target: ModelTarget) -> str:
    """Remember the lesson of this refusal, and return it in words; "" for none. Raises
    LargeWorkUnavailable."""
    read = partial(read_lesson, exchange, reply.status_code, reply.get_content(strict=False) or b"")
    learned = await run_sized(len(exchange.body), read)
    if learned is None:
        return ""
    basis = lasting_profile(target.target.provider.for_model(target.model))
    _learned_profiles[target.target.url, target.model] = basis, learned
    while len(_learned_profiles) > MEMORY_LIMIT:
        del _learned_profiles[next(iter(_learned_profiles))]
    lesson = describe_lesson(exchange.provider, learned)
    title = exchange.provider.title
    line = f"{title} refused a request for {printable(target.model, 200)}: now {lesson}"
    logging.warning(printable(line, current_settings().max_log_line))
    return lesson


def read_lesson(exchange: Exchange, status: int, refusal: bytes) -> Provider | None:
    """The profile with the lesson of this refusal; None for no lesson."""
    return learn_from_refusal(exchange.provider, status, refusal, decode_request(exchange.body))


def may_succeed_elsewhere(reply: Response) -> bool:
    """Whether another candidate may serve what this one refused."""
    return failure_rule(reply.status_code, reply.get_content(strict=False) or b"").fallback


def has_new_loss(exchange: Exchange) -> bool:
    """Whether the model did not get something that a user would notice, for the first time."""
    losses = {
        (exchange.provider.identity, exchange.model, match[0])
        for dropped in exchange.dropped
        if (match := SERIOUS_LOSS.match(dropped))
    }
    new_losses = losses - _known_losses
    if len(_known_losses) >= MEMORY_LIMIT:
        _known_losses.clear()
    _known_losses.update(new_losses)
    return bool(new_losses)
