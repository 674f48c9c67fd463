"""Every golden folder: the request that goes upstream, and the reply that the client gets."""

import json
from dataclasses import replace

import pytest

from tests import strict_backend, strict_responses
from tests.fake_backend import ACCOUNT
from tests.provider_rules import RULES_OF_PROVIDERS
from tests.strict_chat import Rules, body_fault
from tests.translate.cases import ALL_CASES, EXPECTED, Case
from tests.translate.support import (
    ERROR_FIELDS,
    check_sdk_type,
    lawful_chunks,
    lawful_completion,
    lawful_events,
)

each = pytest.mark.parametrize("case", ALL_CASES, ids=str)

CHECKS = {"responses": lawful_events, "chat": lawful_chunks}
# Cases that the strict upstreams of the tests refuse. These servers take more than functions and
# the common parameters:
CAPABLE_SERVERS = {"responses/calls_custom", "responses/effort_is_a_switch"}
# Only OpenAI takes files and audio, and only Gemini signatures:
UNUSUAL_PARTS = {
    "chatgpt/chat_parts", "generic/input_file_and_audio", "generic/thought_signature",
}  # fmt: skip


@each
def test_case_produces_the_files_of_its_folder(case: Case) -> None:
    files = case.produced_files()
    expected = {name for name in EXPECTED if (case.path / name).exists()}
    assert files.keys() == expected
    for name in files:
        assert files[name].decode() == (case.path / name).read_text(), name


@each
def test_case_sends_what_a_strict_provider_accepts(case: Case) -> None:
    if case.provider.name == "chatgpt":
        assert (
            str(case) in UNUSUAL_PARTS or strict_backend.body_fault(case.upstream, ACCOUNT) is None
        )
        return
    if case.provider.dialect == "responses":
        is_exempt = case.provider.passes_through("*") or str(case) in CAPABLE_SERVERS
        assert is_exempt or strict_responses.body_fault(case.upstream) is None
        return
    rules = RULES_OF_PROVIDERS.get(case.path.parent.name, Rules())
    if '"type": "reasoning"' not in (case.path / "request.json").read_text():
        rules = replace(rules, needs_reasoning=False)  # there is no reasoning to send back
    if str(case) not in UNUSUAL_PARTS:
        assert body_fault(case.upstream, rules) is None


@each
def test_reply_of_each_case_obeys_the_laws(case: Case) -> None:
    if (stream := case.path / "client.sse").exists():
        CHECKS[case.client](stream.read_bytes())
    if (whole := case.path / "client.http").exists():
        text = whole.read_text().partition("\n\n")[2]
        if text.startswith("event: "):  # an error that Codex understands only as an event
            lawful_events(text.encode())
            return
        body = json.loads(text)
        if "error" in body and "object" not in body:
            assert body["error"].keys() >= ERROR_FIELDS
        elif case.client == "chat":
            lawful_completion(body)
        else:
            check_sdk_type({"type": "response.completed", "sequence_number": 0, "response": body})
