"""Runs probes against an endpoint, within bounds."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Protocol

from translate import CatalogModel, parse_model_list

from ..errors import CommandFailed
from .chat_reply import ChatReply, RecordedReply, read_chat_reply
from .endpoint import Endpoint
from .findings import Finding, Measurements, Verdict
from .probes import Probe, build_bundle, build_request

Json = dict[str, Any]

CHARACTERS_PER_TOKEN = 4
RATE_LIMITED = 429
FIRST_WAIT = 2.0  # s after a 429 that names no time; doubled each time
LIST_PROBE = "model list"
NOTHING_SERVED = "the endpoint did not serve a plain request"


@dataclass(frozen=True)
class ProbeLimits:
    """What a session may use, whatever the endpoint does."""

    requests: int = 80
    tokens: int = 150_000  # of all requests and replies together, as far as they are known
    longest_wait: float = 30.0  # s before one request that a rate limit held up
    waiting: float = 120.0  # s for all of them
    failures: int = 3  # in a row, after which the endpoint counts as gone


class ChatClient(Protocol):
    """What sends the requests."""

    def list_models(self) -> RecordedReply: ...

    def send_chat(self, body: Json, has_wrong_key: bool = False) -> RecordedReply: ...


class ProbeSession:
    """Measures one endpoint; what is measured stays in `measurements` if a probe is interrupted."""

    def __init__(
        self,
        endpoint: Endpoint,
        client: ChatClient,
        limits: ProbeLimits | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.measurements = Measurements(endpoint)
        self.requests = 0
        self.tokens = 0
        self._client = client
        self._limits = limits or ProbeLimits()
        self._sleep = sleep
        self._waited = 0.0  # s
        self._failures = 0  # in a row

    def choose_model(self) -> Finding:
        """Ask for the list of models, and take the first of them if the user named none.

        Raises CommandFailed if there is no model to ask.
        """
        self.requests += 1
        recorded = self._client.list_models()
        models = read_models(recorded)
        endpoint = self.measurements.endpoint
        chat_models = [model for model in models or () if model.chat and not model.hidden]
        if not endpoint.model:
            if not chat_models:
                raise no_model_failure(endpoint, recorded)
            self.measurements.endpoint = endpoint.with_model(chat_models[0].id)
        model = self.measurements.endpoint.model
        catalog_entry = next((entry for entry in models or () if entry.id == model), None)
        self.measurements.context_window = catalog_entry.context_window if catalog_entry else None
        return self._keep(list_finding(models, catalog_entry, model, recorded))

    def run_probes(self, probes: Sequence[Probe]) -> Iterator[Finding]:
        """The findings of the probes that apply, in their order."""
        for bundle, group in groupby(probes, key=lambda probe: probe.bundle or probe.name):
            members = [probe for probe in group if probe.applies(self.measurements)]
            is_bundle = any(probe.bundle == bundle for probe in members)
            if is_bundle and self.stop_reason() == "" and self._is_bundle_served(members):
                for probe in members:
                    yield self._keep_judgement(probe, "accepted", "200, sent with others")
            else:
                yield from map(self._run_probe, members)

    def stop_reason(self) -> str:
        """Why no further request is sent; "" if one may be."""
        limits = self._limits
        if self.requests >= limits.requests:
            return f"the limit of {limits.requests} requests is reached"
        if self.tokens >= limits.tokens:
            return f"the limit of {limits.tokens:,} tokens is reached"
        if self._failures >= limits.failures:
            return f"the endpoint failed {self._failures} times in a row"
        return NOTHING_SERVED if self.measurements.serves_nothing else ""

    def _is_bundle_served(self, probes: Iterable[Probe]) -> bool:
        return self._ask(build_bundle(probes, self.measurements)).is_accepted

    def _run_probe(self, probe: Probe) -> Finding:
        if reason := self.stop_reason():
            return self._keep(Finding(probe.name, probe.group, "not measured", reason))
        body = build_request(probe, self.measurements)
        reply = self._ask(body, probe.has_wrong_key, probe.expects_error)
        self.measurements.replies[probe.name] = reply
        return self._keep_judgement(probe, *judge_reply(probe, reply))

    def _keep_judgement(self, probe: Probe, verdict: Verdict, evidence: str) -> Finding:
        passes_unknown = self.measurements.verdict("unknown field") == "ignored"
        if probe.group == "parameters" and verdict == "accepted" and passes_unknown:
            evidence += "; but unknown fields pass, too"
        return self._keep(Finding(probe.name, probe.group, verdict, evidence))

    def _keep(self, finding: Finding) -> Finding:
        self.measurements.findings[finding.probe] = finding
        return finding

    def _ask(
        self, body: Json, has_wrong_key: bool = False, expects_error: bool = False
    ) -> ChatReply:
        """The reply, after waiting for rate limits."""
        wait = FIRST_WAIT
        while True:
            self.requests += 1
            recorded = self._client.send_chat(body, has_wrong_key)
            reply = read_chat_reply(recorded)
            self.tokens += reply.tokens or estimate_tokens(body, reply)
            pause = recorded.retry_after if recorded.retry_after is not None else wait
            is_limited = recorded.status == RATE_LIMITED
            if not is_limited or not self._may_wait(pause):
                failed = bool(reply.failure) and not expects_error
                self._failures = self._failures + 1 if failed else 0
                return reply
            self._waited += pause
            self._sleep(pause)
            wait *= 2

    def _may_wait(self, pause: float) -> bool:
        is_short = pause <= self._limits.longest_wait
        return is_short and self._waited + pause <= self._limits.waiting and not self.stop_reason()


def judge_reply(probe: Probe, reply: ChatReply) -> tuple[Verdict, str]:
    """The verdict on a probe, and what shows it."""
    if reply.refusal or (probe.expects_error and reply.recorded.status >= 400):
        return "refused", reply.words
    if reply.failure:
        return "not measured", reply.words
    return probe.judge(reply)


def estimate_tokens(body: Json, reply: ChatReply) -> int:
    """The tokens of a served exchange whose usage the endpoint does not report."""
    return text_tokens(body) + len(reply.recorded.body) // 100 if reply.is_accepted else 0


def text_tokens(body: Json) -> int:
    """The input tokens of a request, estimated; a picture's data counts as 300."""
    return sum(map(value_tokens, body.values()))


def value_tokens(value: Any) -> int:
    match value:
        case dict():
            return 1 + sum(map(value_tokens, value.values()))
        case list():
            return sum(map(value_tokens, value))
        case str() if value.startswith("data:"):
            return 300
        case str():
            return len(value) // CHARACTERS_PER_TOKEN + 1
    return 1


def read_models(recorded: RecordedReply) -> list[CatalogModel] | None:
    """The models of a list reply; None if it is none."""
    try:
        return parse_model_list(recorded.body) if recorded.status == 200 else None
    except ValueError:
        return None


def list_finding(
    models: list[CatalogModel] | None,
    catalog_entry: CatalogModel | None,
    model: str,
    recorded: RecordedReply,
) -> Finding:
    if models is None:
        words = read_chat_reply(recorded).words
        verdict: Verdict = "refused" if recorded.status >= 400 else "not measured"
        return Finding(LIST_PROBE, "basics", verdict, words)
    if catalog_entry is None:
        return Finding(
            LIST_PROBE, "basics", "not seen", f"{count_of(len(models), 'model')}, without {model}"
        )
    window = (
        f", context window {catalog_entry.context_window:,}" if catalog_entry.context_window else ""
    )
    sight = {True: ", with images", False: ", without images", None: ""}[catalog_entry.images]
    return Finding(LIST_PROBE, "basics", "seen", f"{count_of(len(models), 'model')}{window}{sight}")


def count_of(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def no_model_failure(endpoint: Endpoint, recorded: RecordedReply) -> CommandFailed:
    if not recorded.status:
        return CommandFailed(recorded.fault, recorded.next_step)
    words = "an empty list" if recorded.status == 200 else read_chat_reply(recorded).words
    return CommandFailed(
        f"{endpoint.url} names no model to ask: {words}",
        endpoint.key_advice(recorded.status) or "name one with --model",
    )
