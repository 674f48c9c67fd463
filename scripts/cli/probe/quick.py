"""The few probes that `mitmcodex doctor` runs live."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from ..errors import CommandFailed
from .client import EndpointClient
from .endpoint import Endpoint
from .findings import LIMIT_FIELDS, Measurements, Verdict
from .observations import NAMES
from .probes import ALL_PROBES
from .profile_fields import stated_window
from .session import ProbeLimits, ProbeSession

QuickStatus = Literal["pass", "warn", "fail"]

LIMITS = ProbeLimits(requests=12, tokens=30_000, longest_wait=10, waiting=20, failures=2)
PROBE_ADVICE = "`mitmcodex probe` shows what it takes"


@dataclass(frozen=True)
class QuickFinding:
    """One line for the doctor."""

    name: str  # "streaming", "tool call", "parallel calls", "reasoning", "image", "context window"
    status: QuickStatus
    text: str  # what was seen, in lower case and without a full stop
    next_step: str = ""  # the one thing to do; "" for `pass`


@dataclass(frozen=True)
class QuickCheck:
    """One line, and the probes that decide it: the first that is served does, else the last."""

    name: str
    probes: tuple[str, ...]
    next_steps: dict[Verdict, str]  # for other verdicts there is nothing to do
    worst: QuickStatus = "warn"  # the status where the endpoint refuses
    is_alternative: bool = False  # the first probe that is served is enough
    describe: Callable[[Measurements], str] | None = None  # the text of `pass`, if not the evidence


def describe_thinking(measured: Measurements) -> str:
    if not measured.reasoning:
        return "no thinking is shown; the result of a tool is answered"
    names = ", ".join(NAMES.get(name, name) for name in measured.reasoning)
    return f"thinking comes as {names}, and the result of a tool is answered"


NO_TOOLS = "choose a model that can call tools: Codex works with nothing else"
QUICK_CHECKS = (
    QuickCheck(
        "streaming",
        LIMIT_FIELDS,
        {"refused": PROBE_ADVICE, "not seen": "try another model"},
        "fail",
        is_alternative=True,
    ),
    QuickCheck("tool call", ("tool call",), {"refused": NO_TOOLS, "not seen": NO_TOOLS}, "fail"),
    QuickCheck(
        "parallel calls",
        ("parallel calls",),
        {"not seen": "nothing to repair: the model makes one call at a time, this time at least"},
    ),
    QuickCheck(
        "reasoning",
        ("tool result", "reasoning goes back"),
        {"refused": "`mitmcodex probe --write` finds the form in which it goes back"},
        describe=describe_thinking,
    ),
    QuickCheck(
        "image",
        ("image/png",),
        {
            "refused": "set `images = false` in its table of relay.toml, or choose another model",
            "not seen": "do not count on pictures with this model",
        },
    ),
)
WINDOW_ADVICE = "set `context_window` in its table of relay.toml, so that Codex compacts in time"
STATUSES: dict[Verdict, QuickStatus] = {"seen": "pass", "accepted": "pass", "ignored": "warn"}
BY_NAME = {probe.name: probe for probe in ALL_PROBES}


def quick_checks(endpoint: Endpoint, seconds: float = 60.0) -> Iterator[QuickFinding]:
    """Measure the endpoint with a few small requests, one finding each.

    `seconds` bounds each request. Never raises but KeyboardInterrupt; an endpoint that does not
    answer at all yields one finding that fails, and no more.
    """
    if endpoint.profile.dialect != "chat":
        text = "not measured: this upstream speaks Responses, and the probes Chat Completions"
        yield QuickFinding("streaming", "warn", text, "try it: `mitmcodex try`")
        return
    with EndpointClient(endpoint, seconds) as client:
        session = ProbeSession(endpoint, client, LIMITS)
        try:
            session.choose_model()
        except CommandFailed as failure:
            yield QuickFinding("streaming", "fail", failure.message, failure.next_step)
            return
        for check in QUICK_CHECKS:
            if check.name == "image" and not session.measurements.endpoint.profile.images:
                yield QuickFinding("image", "pass", "the relay sends it words in place of pictures")
                continue
            yield run_check(check, session)
            if session.measurements.serves_nothing:
                return
        yield window_finding(session)


def run_check(check: QuickCheck, session: ProbeSession) -> QuickFinding:
    measured = session.measurements
    for name in check.probes:
        for _ in session.run_probes([BY_NAME[name]]):
            pass
        if check.is_alternative and measured.is_served(name):
            break
    findings = [measured.findings[name] for name in check.probes if name in measured.findings]
    if not findings:
        return QuickFinding(check.name, "warn", "not measured: there is no call to measure it with")
    served = (finding for finding in findings if measured.is_served(finding.probe))
    finding = next(served, findings[-1])
    status = STATUSES.get(finding.verdict, check.worst)
    next_step = check.next_steps.get(finding.verdict, "")
    if finding.verdict == "not measured":
        status = "fail" if measured.serves_nothing else "warn"
        next_step = failure_advice(finding.probe, measured)
    text = f"{finding.verdict}: {finding.evidence}"
    if status == "pass" and check.describe:
        text = check.describe(measured)
    return QuickFinding(check.name, status, text, next_step)


def failure_advice(probe: str, measured: Measurements) -> str:
    """What the user can do about an endpoint that did not answer."""
    reply = measured.replies.get(probe)
    if reply is None:
        return "try again"
    advice = measured.endpoint.key_advice(reply.recorded.status)
    return advice or reply.recorded.next_step or "see whether the server works"


def window_finding(session: ProbeSession) -> QuickFinding:
    measured = session.measurements
    if tokens := measured.context_window:
        return QuickFinding("context window", "pass", f"{tokens:,} tokens, by the model list")
    for _ in session.run_probes([BY_NAME["limit above the window"]]):
        pass
    configured = measured.endpoint.profile.context_window
    if tokens := stated_window(measured):
        status: QuickStatus = "pass" if tokens >= configured else "warn"
        text = f"{tokens:,} tokens, by what it said of a longer request"
        if status == "warn":
            text += f"; the relay assumes {configured:,}"
        return QuickFinding("context window", status, text, WINDOW_ADVICE * (status == "warn"))
    text = f"the endpoint does not tell it; the relay assumes {configured:,} tokens"
    return QuickFinding("context window", "warn", text, WINDOW_ADVICE)
