"""What the probes have shown so far: one finding each, with its evidence."""

from dataclasses import dataclass, field
from typing import Any, Literal

from .chat_reply import ChatReply
from .endpoint import Endpoint

Json = dict[str, Any]

# seen: its effect showed.  accepted: the request was served, and its effect cannot be seen.
# ignored: the request was served, and its effect is missing.  not seen: the model did not do it,
# this time.  not measured: no answer that says anything.
Verdict = Literal["seen", "accepted", "ignored", "refused", "not seen", "not measured"]
LIMIT_FIELDS = ("max_tokens", "max_completion_tokens")
SERVED: frozenset[Verdict] = frozenset({"seen", "accepted", "ignored", "not seen"})


@dataclass(frozen=True)
class Finding:
    """The result of one probe."""

    probe: str
    group: str
    verdict: Verdict
    evidence: str  # a status and words, or what showed it


@dataclass
class Measurements:
    """All findings, and the replies that later probes build on."""

    endpoint: Endpoint
    findings: dict[str, Finding] = field(default_factory=dict)
    replies: dict[str, ChatReply] = field(default_factory=dict)
    context_window: int | None = None  # tokens, as the model list states it

    def verdict(self, probe: str) -> Verdict:
        finding = self.findings.get(probe)
        return finding.verdict if finding else "not measured"

    def is_served(self, *probes: str) -> bool:
        """Whether the endpoint served one of these probes."""
        return any(self.verdict(probe) in SERVED for probe in probes)

    def is_refused(self, probe: str) -> bool:
        return self.verdict(probe) == "refused"

    def is_measured(self, probe: str) -> bool:
        return self.verdict(probe) != "not measured"

    @property
    def serves_nothing(self) -> bool:
        """Whether the plain requests were sent, and none of them was served."""
        return self.findings.keys() >= set(LIMIT_FIELDS) and not self.is_served(*LIMIT_FIELDS)

    @property
    def text_reply(self) -> ChatReply | None:
        """The reply to a plain request."""
        served = (name for name in LIMIT_FIELDS if self.is_served(name))
        return self.replies.get(next(served, ""))

    @property
    def limit_field(self) -> str:
        """The field that limits a reply's tokens."""
        names = (self.endpoint.profile.max_tokens, *LIMIT_FIELDS)
        served = (name for name in names if self.is_served(name))
        return next(served, names[0])

    @property
    def stream_fields(self) -> Json:
        """Every request streams, as the relay's do, and asks for its usage where it may."""
        asks_usage = self.is_served("stream_options")
        usage = {"stream_options": {"include_usage": True}} if asks_usage else {}
        return {"stream": True, **usage}

    @property
    def reasoning(self) -> Json:
        """The thinking of the first reply that has some, as the endpoint names its fields."""
        replies = (self.replies[name] for name in self.replies)
        return next((reply.reasoning for reply in replies if reply.reasoning), {})
