"""Every golden folder: what is sent up, and what comes out. `scripts/cases` writes them anew."""

import json
from dataclasses import replace

import pytest

from tests import strict_backend, strict_responses
from tests.fake_backend import ACCOUNT
from tests.provider_rules import RULES
from tests.strict_chat import Rules, refusal
from tests.translate.cases import EVERY, EXPECTED, Case
from tests.translate.support import ERROR, answered, lawful, lawful_chunks, typed

each = pytest.mark.parametrize("case", EVERY, ids=str)

# Files and audio are taken by OpenAI alone, signatures by Gemini.
# These native servers know more than functions and the common parameters.
LAWFUL = {"responses": lawful, "chat": lawful_chunks}
KNOWING = {"responses/calls_custom", "responses/effort_is_a_switch"}
LOOSE = {
    "chatgpt/chat_parts", "generic/input_file_and_audio", "generic/thought_signature",
}  # fmt: skip


@each
def test_case_makes_what_its_folder_says(case: Case) -> None:
    made = case.made()
    there = {name for name in EXPECTED if (case.path / name).exists()}
    assert made.keys() == there
    for name in made:
        assert made[name].decode() == (case.path / name).read_text(), name


@each
def test_case_sends_what_a_strict_provider_takes(case: Case) -> None:
    if case.provider.name == "chatgpt":
        assert str(case) in LOOSE or strict_backend.refusal(case.upstream, ACCOUNT) is None
        return
    if case.provider.dialect == "responses":
        known = case.provider.native("*") or str(case) in KNOWING
        assert known or strict_responses.refusal(case.upstream) is None
        return
    rules = RULES.get(case.path.parent.name, Rules())
    if '"type": "reasoning"' not in (case.path / "request.json").read_text():
        rules = replace(rules, needs_reasoning=False)  # nothing was thought
    if str(case) not in LOOSE:
        assert refusal(case.upstream, rules) is None


@each
def test_case_answers_lawfully(case: Case) -> None:
    if (stream := case.path / "client.sse").exists():
        LAWFUL[case.client](stream.read_bytes())
    if (whole := case.path / "client.http").exists():
        text = whole.read_text().partition("\n\n")[2]
        if text.startswith("event: "):  # told in a stream, as Codex understands it so only
            lawful(text.encode())
            return
        body = json.loads(text)
        if "error" in body and "object" not in body:
            assert body["error"].keys() >= ERROR
        elif case.client == "chat":
            answered(body)
        else:
            typed({"type": "response.completed", "sequence_number": 0, "response": body})
