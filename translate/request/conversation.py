"""The order of a conversation, as upstreams demand it: a call and its outputs together.

Responses input is a flat list in which calls, outputs and messages may come in any order. Chat
servers refuse a call without its output, an output without its call, and anything between them.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from translate.mappings import reasoning
from translate.mappings.content import ConvertedParts, Part, split_text_and_media
from translate.providers.profile import Provider
from translate.tools.kinds import KIND_BY_CALL_TYPE, OUTPUT_TYPES
from translate.tools.tool_map import call_id_of

Item = dict[str, Any]
Message = dict[str, Any]

NO_OUTPUT = "[no output: the call was not completed]"
LONE_REASONING = "reasoning without a reply"


def output_positions(items: list[Item]) -> dict[int, int]:
    """Position of each call → position of its output; each output answers one call.

    Some clients and providers use an id twice: the first output of a turn answers the first call.
    A call that stayed unanswered in its turn gets no output from a later turn.
    """
    unanswered: dict[str, deque[int]] = defaultdict(deque)
    outputs = {}
    turn_start = 0  # position of the last item that is not the assistant's
    for position, item in enumerate(items):
        item_type, calls = item.get("type"), unanswered[call_id_of(item)]
        if item_type in KIND_BY_CALL_TYPE:
            if calls and calls[-1] < turn_start:
                calls.clear()
            calls.append(position)
        elif item_type != "reasoning" and item.get("role") != "assistant":
            turn_start = position
            if item_type in OUTPUT_TYPES and calls:
                outputs[calls.popleft()] = position
    return outputs


class AssistantTurn(Protocol):
    """Text, reasoning and calls of the assistant up to the next output, in one dialect."""

    @property
    def is_empty(self) -> bool: ...

    def add_text(self, parts: list[Part]) -> None: ...

    def add_reasoning(self, reasoning: dict[str, Any]) -> None: ...

    def add_call(self, call: Message) -> None:
        """A Chat tool call."""

    def build_messages(self) -> list[Message]:
        """The turn as the upstream takes it; [] for one of reasoning alone."""


@dataclass(frozen=True)
class ConversationFormat[Turn: AssistantTurn]:
    """How a conversation is written in the upstream's dialect."""

    new_turn: Callable[[int], Turn]  # from the number of messages before it
    output_message: Callable[[str, str], Message]  # from a call id and a text
    convert_message: Callable[[Message], Message]  # from a Chat message that is not the assistant's
    convert_reasoning: Callable[[Item, Provider], dict[str, Any] | None]  # for `add_reasoning`
    convert_call_id: Callable[[str], str] = str


class Conversation[Turn: AssistantTurn]:
    """Builds the messages of a request, with each output behind its call."""

    def __init__(
        self,
        form: ConversationFormat[Turn],
        convert_output: Callable[[int], ConvertedParts],  # from the position of an output item
        outputs: dict[int, int],
    ) -> None:
        self.form = form
        self.messages: list[Message] = []
        self._dropped: list[str] = []
        self._convert_output = convert_output
        self._outputs = outputs
        self._call_ids: set[str] = set()
        self._id_numbers: dict[str, int] = {}  # the last one behind each id that came twice
        self._turn: Turn | None = None
        self._calls: dict[int, tuple[str, Message | None]] = {}  # position → id, native output
        self._has_output = False

    @property
    def dropped(self) -> Sequence[str]:
        return self._dropped

    def add_dropped(self, paths: Iterable[str]) -> None:
        """Report what the upstream does not get."""
        self._dropped += paths

    @property
    def has_begun(self) -> bool:
        """Whether there is a message or part of one; instructions before it lead the request."""
        return bool(self.messages) or (self._turn is not None and not self._turn.is_empty)

    def open_turn(self) -> Turn:
        """The assistant's turn; a new one where an output has ended the last one."""
        if self._has_output:
            self.close()
        if self._turn is None:
            self._turn = self.form.new_turn(len(self.messages))
        return self._turn

    def add_call(self, position: int, call: Message) -> None:
        """A Chat tool call."""
        turn = self.open_turn()
        call["id"] = self.register_call(position, call["id"])
        turn.add_call(call)

    def register_call(self, position: int, id: str, output: Item | None = None) -> str:
        """A unique id for the call at this position of the input, which is in the open turn.

        `output`: the item that answers it, where that item passes unchanged.
        """
        unique = self.unique_call_id(id)
        self._calls[position] = unique, output and {**output, "call_id": unique}
        return unique

    def mark_output(self) -> None:
        """An output came. `close` writes it behind its call, wherever it came."""
        self._has_output = True

    def add_message(self, message: Message) -> None:
        """A Chat message that is not the assistant's. Outputs of open calls go before it."""
        self.close()
        self.messages.append(self.form.convert_message(message))

    def close(self) -> list[Message]:
        """End the assistant's turn with the outputs of its calls; returns all messages."""
        if self._turn and not self._turn.is_empty:
            messages = self._turn.build_messages()
            self.messages += messages
            self.add_dropped([] if messages else [LONE_REASONING])
        media: list[Part] = []
        for position, (id, output) in self._calls.items():
            if output is None:
                text, media_parts = self._output_of(position)
                if media_parts:
                    text = text or "[see the next message]"
                    media += [{"type": "text", "text": f"[output of {id}]"}, *media_parts]
                output = self.form.output_message(id, text)
            self.messages.append(output)
        if media:  # a tool message holds nothing but text, so images follow as the user's
            self.messages.append(self.form.convert_message({"role": "user", "content": media}))
        self._turn, self._calls, self._has_output = None, {}, False
        return self.messages

    def _output_of(self, position: int) -> tuple[str, list[Part]]:
        """Text and media of the output that answers the call at `position`."""
        if (output := self._outputs.get(position)) is None:
            return NO_OUTPUT, []
        parts, dropped = self._convert_output(output)
        self.add_dropped(dropped)
        return split_text_and_media(parts)

    def unique_call_id(self, id: str) -> str:
        id = self.form.convert_call_id(id)
        unique, number = id or "call", self._id_numbers.get(id, 1)
        while unique in self._call_ids:
            number += 1
            unique = f"{id}_{number}"
        self._call_ids.add(unique)
        self._id_numbers[id] = number
        return unique


class ChatTurn:
    """The assistant's turn as one Chat message."""

    def __init__(self, empty_reasoning: dict[str, Any]) -> None:
        self._empty_reasoning = empty_reasoning  # what the provider wants in place of reasoning
        self._texts: list[Part] = []
        self._reasoning: dict[str, Any] = {}
        self._calls: list[Message] = []

    @property
    def is_empty(self) -> bool:
        return not (self._texts or self._reasoning or self._calls)

    def add_text(self, parts: list[Part]) -> None:
        self._texts += parts

    def add_reasoning(self, fields: dict[str, Any]) -> None:
        reasoning.merge_fields(self._reasoning, fields)

    def add_call(self, call: Message) -> None:
        self._calls.append(call)

    def build_messages(self) -> list[Message]:
        if not (self._texts or self._calls):
            return []  # providers refuse a message of reasoning alone
        fields = reasoning.join_fields(self._reasoning)
        text = "\n".join(part["text"] for part in self._texts)
        text = reasoning.add_think_tags(fields.pop(reasoning.THINK_TEXT, ""), text)
        content: str | list[Part] = text
        if thinking := fields.pop(reasoning.THINKING_PARTS, ""):
            part = {"type": "thinking", "thinking": [{"type": "text", "text": thinking}]}
            content = [part, *([{"type": "text", "text": text}] if text else [])]
        signatures = fields.pop(reasoning.CALL_SIGNATURES, {})
        # null beside calls: some servers refuse an empty string there, others a missing field
        message: Message = {"role": "assistant", "content": content or None}
        message |= self._empty_reasoning | fields
        if self._calls:
            message["tool_calls"] = [
                {**call, "extra_content": signatures[call["id"]]}
                if call["id"] in signatures
                else call
                for call in self._calls
            ]
        return [message]
