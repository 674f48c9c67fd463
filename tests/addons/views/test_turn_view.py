"""The view `Turn`: a request as a conversation."""

import json
import re

import pytest

from addons.views.turn_view import short_value
from tests.addons.views.support import CHAT_REQUEST, PIXEL_URL, request_text
from tests.translate.cases import ALL_CASES, Case
from tests.translate.support import Json
from translate import Envelope, seal_envelope

BASE64 = re.compile(r";base64,([A-Za-z0-9+/_=-]{8,})")


@pytest.mark.parametrize("case", ALL_CASES, ids=str)
def test_requests_of_every_case_are_readable(case: Case) -> None:
    for body in (case.request, case.upstream):
        text = request_text(body, {"dropped": case.start_exchange().dropped})
        compact_text = "".join(text.split())  # long lines are broken at spaces
        assert all("".join(words.split()) in compact_text for words in user_texts(body))
        assert not any(data in text for data in BASE64.findall(json.dumps(body)))


def user_texts(body: Json) -> set[str]:
    """The texts of the user, in either dialect."""
    entries = body.get("messages") or body.get("input") or []
    if isinstance(entries, str):
        return {entries}
    contents = [entry.get("content") for entry in entries if entry.get("role") == "user"]
    texts = [content for content in contents if isinstance(content, str)]
    for content in contents:
        if isinstance(content, list):
            texts += [part["text"] for part in content if "text" in part]
    return {text.strip() for text in texts if ";base64," not in text}


def test_responses_request_in_a_few_lines() -> None:
    envelope = Envelope("deepseek", "deepseek-chat", {"reasoning_content": "First I look."})
    body = {
        "model": "gpt-5.5",
        "stream": True,
        "reasoning": {"effort": "high"},
        "tools": [
            {"type": "function", "name": "exec_command"},
            {"type": "namespace", "name": "mcp", "tools": [{"type": "function", "name": "add"}]},
            {"type": "custom", "name": "apply_patch"},
        ],
        "input": [
            {"role": "developer", "content": "\n".join(f"rule {n}" for n in range(50))},
            {"role": "user", "content": [
                {"type": "input_text", "text": "Look."},
                {"type": "input_image", "image_url": PIXEL_URL},
            ]},
            {"type": "reasoning", "summary": [], "encrypted_content": seal_envelope(envelope)},
            {"type": "reasoning", "summary": [], "encrypted_content": "gAAA" * 100},
            {"type": "function_call", "name": "exec_command", "call_id": "c1",
             "arguments": '{"cmd": "ls", "yield": 5}'},
            {"type": "custom_tool_call", "name": "apply_patch", "call_id": "c2",
             "input": "*** Begin Patch\n+new\n*** End Patch"},
            {"type": "function_call_output", "call_id": "c1", "output": "a.txt"},
            {"type": "custom_tool_call_output", "call_id": "c2", "output": "Done."},
        ],
    }  # fmt: skip
    assert (
        request_text(body, {"dropped": ["seed"], "notes": ["retried"]})
        == """\
gpt-5.5 · streams · reasoning.effort high
3 tools: exec_command, mcp.add, apply_patch (custom)
dropped: seed
note: retried
8 entries; the last: output of c2: Done.

━━ 0 · developer
rule 0
rule 1
rule 2
rule 3
rule 4
rule 5
⋯ 389 B in all ⋯

━━ 1 · user
Look.
[image: image/png, 1×1 pixels, 70 B]

━━ 2 · reasoning · sealed by us for deepseek-chat (deepseek)
First I look.

━━ 3 · reasoning · sealed by another, 400 B


━━ 4 · call of exec_command · c1
cmd: ls
yield: 5

━━ 6 · output of c1
a.txt

━━ 5 · call of apply_patch · c2
*** Begin Patch
+new
*** End Patch

━━ 7 · output of c2
Done.
"""
    )


def test_chat_request_in_a_few_lines() -> None:
    assert (
        request_text(CHAT_REQUEST, {"dropped": ["messages[1].name"]})
        == """\
gpt-5.5 · streams · reasoning_effort high · max_completion_tokens 9
3 tools: weather, note (custom), old
dropped: messages[1].name
10 entries; the last: assistant: No.⏎[refused: I cannot.]

━━ 0 · system
Be brief.

━━ 1 · user · ann
Rome?
[image: image/png, 1×1 pixels, 70 B]

━━ 2 · reasoning of assistant · sealed by us for gpt-5.5 (account)
First I look.

━━ 2 · call of weather · a
city: Rome

━━ 4 · output of a
Sunny.

━━ 2 · call of note · b
one
two

━━ 3 · output of b
noted

━━ 5 · call of old


━━ 6 · output of old
gone

━━ 7 · assistant
No.
[refused: I cannot.]
"""
    )


def test_long_values_are_their_size() -> None:
    assert short_value("a\nb") == "a⏎b"
    assert short_value("x y " * 750) == "3.0 kB"
