"""A strict provider behind which a small invented model answers the probes.

It keeps the rules of tests/provider_rules.py, refuses what the real provider refuses, and does what
a model would: it calls tools, heeds instructions, and really looks at pictures.
"""

import json
import re
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

from PIL import Image

from tests.fake_provider import FakeProvider, ReceivedRequest, ScriptedReply, image_urls, text_of
from tests.provider_rules import RULES_OF_PROVIDERS
from tests.replies import DEEPSEEK, Call, Error, Part, Say, Style, error, think
from tests.strict_chat import Rules

Json = dict[str, Any]


@dataclass(frozen=True)
class Character:
    """What the invented model and its server do, beyond the rules."""

    style: Style = DEEPSEEK
    thinks: bool = True
    calls_at_once: int = 2  # how many calls it makes if two are wanted
    needs_parallel: bool = False  # one call unless the request allows more
    choices_work: bool = True  # else every tool choice counts as `auto`
    formats: frozenset[str] = frozenset({"json_object", "json_schema"})
    efforts: frozenset[str] | None = None  # those that it accepts; None: all
    optional_strict: bool = True  # whether strict tools may have optional fields
    stops: bool = True
    sees: bool = True
    window: int = 131_072
    least_limit: int = 1  # tokens
    slow_field: str = ""  # requests with this field wait for 30 s


class MeasuredProvider(FakeProvider):
    """FakeProvider with a model; tests set `character` and `rules`."""

    def reset(self) -> None:
        super().reset()
        self.character = Character()
        self.models = ["model-one", "model-two"]

    def use_rules(self, name: str, **changes: Any) -> None:
        """The rules of one provider. Whether a stream must ask for its usage is a rule for the
        relay; real providers serve those that do not."""
        rules = RULES_OF_PROVIDERS.get(name, Rules())
        if rules.include_usage:
            rules = replace(rules, include_usage=False)
        self.rules = replace(rules, **changes)

    def next_reply(self, request: ReceivedRequest) -> ScriptedReply | Error:
        with self._lock:
            self.requests.append(request)
            number = len(self.requests)
            if request.headers.get("authorization") != f"Bearer {self.key}":
                return error(401, "Incorrect API key", code="invalid_api_key")
            if problem := self.find_refusal(request) or self.find_limit(request.body):
                return problem
        parts = tuple(self.answer_parts(request))
        delay = 30 if self.character.slow_field in request.body else 0
        return ScriptedReply(
            parts, self.character.style, number, lambda _: True, None, False, delay
        )

    def find_limit(self, body: Json) -> Error | None:
        character, wanted = self.character, body.get("response_format", {}).get("type")
        if body["model"] not in self.models:
            return error(404, f"The model `{body['model']}` does not exist", code="model_not_found")
        limit = body.get("max_tokens") or body.get("max_completion_tokens") or 0
        if 0 < limit < character.least_limit:
            return error(400, f"max_tokens must be at least {character.least_limit}")
        if limit > character.window:
            text = f"This model's maximum context length is {character.window} tokens. However, "
            return error(400, f"{text}you requested {limit + 9} tokens.")
        if wanted and wanted not in character.formats:
            return error(400, f"response_format: type {wanted} is not supported")
        effort = body.get("reasoning_effort")
        if effort and character.efforts is not None and effort not in character.efforts:
            names = ", ".join(sorted(character.efforts))
            return error(400, f"reasoning_effort: '{effort}' is not one of {names}")
        if not character.optional_strict and has_optional_strict_field(body):
            return error(400, "Invalid schema: 'required' must name every key of properties")
        return None

    def answer_parts(self, request: ReceivedRequest) -> Iterator[Part]:
        if self.character.thinks:
            yield think("Let me see what is wanted here.")
        towns = self.wanted_towns(request)
        for place, town in enumerate(towns):
            name = next(iter(request.tools))
            own_id = f"aB{len(self.requests):06d}{place}"
            accepts_any = self.rules.call_id == Rules().call_id
            yield Call(name, json.dumps({"town": town}), None if accepts_any else own_id)
        if not towns:
            yield Say(self.answer_text(request))

    def wanted_towns(self, request: ReceivedRequest) -> list[str]:
        """The towns that the model looks up with a tool."""
        body, prompt = request.body, request.prompt
        choice = body.get("tool_choice", "auto") if self.character.choices_work else "auto"
        if not body.get("tools") or choice == "none" or request.outputs:
            return []
        towns = re.findall(r"in (Oslo)\b(?:.*?in (Lima))?", prompt)
        names = [town for pair in towns for town in pair if town]
        if choice != "auto" and not names:
            names = ["Rome"]
        is_held_back = self.character.needs_parallel and not body.get("parallel_tool_calls")
        return names[: 1 if is_held_back else self.character.calls_at_once]

    def answer_text(self, request: ReceivedRequest) -> str:
        body, prompt = request.body, request.prompt
        kind = body.get("response_format", {}).get("type")
        if kind == "json_schema":
            return '{"code": "k7"}'
        if kind == "json_object":
            return '{"town": "Oslo"}'
        if urls := [url for message in request.messages for url in image_urls(message)]:
            return seen_colours(urls[0]) if self.character.sees else "I see no picture."
        if "Count" in prompt:
            return "1 2 3 4 " if body.get("stop") and self.character.stops else "1 2 3 4 5 6 7 8 9"
        if request.outputs:
            return f"The tool says: {request.outputs[-1]}"
        heeded = [text_of(m) for m in request.messages if m["role"] in ("system", "developer")]
        return "ready, maple" if any("maple" in text for text in heeded) else "ready"


def seen_colours(url: str) -> str:
    """What the model sees in the picture, above and below."""
    picture = Image.open(BytesIO(b64decode(url.partition(",")[2]))).convert("RGB")
    width, height = picture.size
    colours = []
    for y in (height // 4, 3 * height // 4):
        pixel = picture.getpixel((width // 2, y))
        assert isinstance(pixel, tuple)
        red, green, blue = pixel[:3]
        colours.append("blue" if blue > max(red, green) else "yellow")
    return " and ".join(colours)


def has_optional_strict_field(body: Json) -> bool:
    for tool in body.get("tools", []):
        function = tool["function"]
        schema = function["parameters"]
        if function.get("strict") and set(schema["required"]) != set(schema["properties"]):
            return True
    return False


@contextmanager
def running_measured_provider() -> Iterator[MeasuredProvider]:
    provider = MeasuredProvider()
    try:
        yield provider
    finally:
        provider.close()
