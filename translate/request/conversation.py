"""The order of a conversation, as Chat providers demand it: a call and its outputs together.

Responses input is a flat list in which calls, outputs and messages may come in any order. Chat
refuses a call without its output, an output without its call, and anything between them.
"""

from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any

from translate.mappings import reasoning
from translate.mappings.content import Part, split
from translate.tools.kinds import BY_CALL, OUTPUTS
from translate.tools.tool_map import call_id

Item = dict[str, Any]
Message = dict[str, Any]

NO_OUTPUT = "[no output: the call was not completed]"


def paired(items: list[Item]) -> dict[int, int]:
    """Position of each call → position of its output; each output answers one call.

    An id used twice (some clients and providers do) is matched first to first within a turn; a
    call of an earlier turn that stayed unanswered takes no output from a later one.
    """
    waiting: dict[str, deque[int]] = defaultdict(deque)
    answers = {}
    turn = 0  # where the assistant was last interrupted
    for position, item in enumerate(items):
        kind, same = item.get("type"), waiting[call_id(item)]
        if kind in BY_CALL:
            if same and same[-1] < turn:
                same.clear()
            same.append(position)
        elif kind != "reasoning" and item.get("role") != "assistant":
            turn = position
            if kind in OUTPUTS and same:
                answers[same.popleft()] = position
    return answers


class Conversation:
    """Builds Chat messages; what the assistant says up to the next output is one message."""

    def __init__(
        self,
        output: Callable[[int], list[Part]],
        answers: dict[int, int],
        dropped: list[str],
        unthought: dict[str, Any],
    ) -> None:
        self.messages: list[Message] = []
        self._dropped = dropped
        self._output = output  # position of an output item → its parts
        self._answers = answers
        self._unthought = unthought  # fields of a message without thinking
        self._ids: set[str] = set()
        self._open()

    def _open(self) -> None:
        self._said: list[Part] = []
        self._thought: dict[str, Any] = {}
        self._calls: dict[int, Message] = {}  # position → tool call
        self._heard = False  # whether an output came

    @property
    def begun(self) -> bool:
        """Whether anyone has spoken; instructions before that are leading ones."""
        return bool(self.messages or self._said or self._thought or self._calls)

    def say(self, parts: list[Part]) -> None:
        self._turn()
        self._said += parts

    def think(self, fields: dict[str, Any]) -> None:
        self._turn()
        reasoning.merge(self._thought, fields)

    def call(self, position: int, call: Message) -> None:
        self._turn()
        call["id"] = self.unique(call["id"])
        self._calls[position] = call

    def hear(self) -> None:
        """An output came; it is taken with its call, wherever it stands."""
        self._heard = True

    def add(self, message: Message) -> None:
        """A message that is not the assistant's; comes behind the outputs of open calls."""
        self.close()
        self.messages.append(self._message(message))

    def close(self) -> list[Message]:
        """End the assistant's turn: its message and the outputs of its calls."""
        self._tell()
        media: list[Part] = []
        for position, call in self._calls.items():
            answer = self._answers.get(position)
            parts = [] if answer is None else self._output(answer)
            text, lifted = split(parts)
            if lifted:
                text = text or "[see the next message]"
                media += [{"type": "text", "text": f"[output of {call['id']}]"}, *lifted]
            content = NO_OUTPUT if answer is None else text
            self.messages.append(self._answer(position, call["id"], content))
        if media:  # tool messages hold text only, so images follow as the user's
            self.messages.append(self._message({"role": "user", "content": media}))
        self._open()
        return self.messages

    def _tell(self) -> None:
        if self._said or self._calls:
            self.messages.append(self._assistant())
        elif self._thought:  # alone it makes no message: providers want text or calls
            self._dropped.append("reasoning without a reply")

    def _answer(self, position: int, call: str, content: str) -> Message:
        return {"role": "tool", "tool_call_id": call, "content": content}

    def _message(self, message: Message) -> Message:
        return message

    def _turn(self) -> None:
        if self._heard:
            self.close()

    def _assistant(self) -> Message:
        text = "\n".join(part["text"] for part in self._said)
        text = reasoning.tagged(self._thought.pop(reasoning.THINK, ""), text)
        content: str | list[Part] = text
        if thinking := self._thought.pop(reasoning.PARTS, ""):
            part = {"type": "thinking", "thinking": [{"type": "text", "text": thinking}]}
            content = [part, *([{"type": "text", "text": text}] if text else [])]
        # null beside calls: some servers refuse an empty string there, others a missing field
        message: Message = {"role": "assistant", "content": content or None}
        extra = self._thought.pop(reasoning.CALLS, {})
        message |= self._unthought | self._thought
        for call in self._calls.values():
            call |= {"extra_content": extra[call["id"]]} if call["id"] in extra else {}
        if self._calls:
            message["tool_calls"] = list(self._calls.values())
        return message

    def unique(self, call: str) -> str:
        unique, number = call or "call", 1
        while unique in self._ids:
            number += 1
            unique = f"{call}_{number}"
        self._ids.add(unique)
        return unique
