"""`stop` for upstreams that have no such parameter: the relay cuts the text itself.

As OpenAI does, it cuts before the sequence that is complete first.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any

from translate.providers.profile import Provider
from translate.providers.quirks import overlap_length
from translate.wire.errors import BadRequest

Json = dict[str, Any]


# The relay looks for each sequence in each delta. OpenAI takes four.
STOPS_LIMIT = 16
STOP_LENGTH_LIMIT = 256


def is_cut_here(stop: Sequence[str], provider: Provider) -> bool:
    """Whether the relay has to cut the text, as the upstream does not."""
    return (
        bool(stop)
        and provider.dialect == "responses"
        and "stop" not in provider.accepted_parameters
    )


def check_stops(stop: Sequence[str]) -> None:
    """Raises BadRequest for more or longer sequences than the relay looks for."""
    if len(stop) > STOPS_LIMIT or any(len(sequence) > STOP_LENGTH_LIMIT for sequence in stop):
        limits = f"at most {STOPS_LIMIT} sequences of at most {STOP_LENGTH_LIMIT} characters"
        raise BadRequest(f"stop: the relay takes {limits} for this model", param="stop")


class StopSequences:
    """Finds the first of these sequences in a text that arrives in pieces.

    `feed` and `close` return the text before it, and the log probabilities of its tokens.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._pending = ""
        self._pending_logprobs: deque[Json] = deque()
        self.matched_stop: str | None = None

    def feed(self, text: str, logprobs: Sequence[Json] = ()) -> tuple[str, list[Json]]:
        text, self._pending = self._pending + text, ""
        self._pending_logprobs += logprobs
        matches = [
            (start + len(stop), start, stop)
            for stop in self._stops
            if (start := text.find(stop)) >= 0
        ]
        if matches:  # the longest of those that end first
            _, cut, self.matched_stop = min(matches)
        else:
            cut = len(text) - max((overlap_length(text, stop) for stop in self._stops), default=0)
            self._pending = text[cut:]
        return text[:cut], self._take_logprobs(cut)

    def close(self) -> tuple[str, list[Json]]:
        """The rest of the text, which no further piece can complete to a sequence."""
        text, self._pending = self._pending, ""
        logprobs, self._pending_logprobs = [*self._pending_logprobs], deque()
        return text, logprobs

    def _take_logprobs(self, size: int) -> list[Json]:
        """Take the log probabilities of the first `size` characters."""
        logprobs: list[Json] = []
        while self._pending_logprobs:
            size -= len(str(self._pending_logprobs[0].get("token")))
            if size < 0:
                break
            logprobs.append(self._pending_logprobs.popleft())
        return logprobs


def cut_items(output: Sequence[Json], size: int, gap: int) -> list[Json]:
    """The items up to `size` characters of text, of which `gap` lie between any two texts."""
    items: list[Json] = []
    position = -gap
    for item in output:
        if item["type"] == "message":
            parts = []
            for part in item["content"]:
                if "text" in part:
                    position += gap
                    part = {**part, "text": part["text"][: max(size - position, 0)]}
                    position += len(part["text"])
                parts.append(part)
            item = {**item, "content": parts}
        items.append(item)
        if position >= size:
            break
    return items
