"""Freeform input: patches that a model wrapped, and text that shows while it streams."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.translate.support import Json, chunk, output, reply_events, responses_exchange, stream
from translate.tools.freeform_input import PATCH as GRAMMAR
from translate.tools.freeform_input import InputText, VerbatimText, is_patch_tool, mend_patch

PATCH = """*** Begin Patch
*** Update File: a.txt
*** Move to: b.txt
@@ def f():
 same
-old
+say "new" \\d
@@
+more
*** End of File
*** Add File: c.txt
+one
+
*** Delete File: d.txt
*** Update File: e.txt
*** End Patch
"""
JSON_LINES = PATCH.replace("\\", "\\\\").replace("\n", "\\n")


@pytest.mark.parametrize("patch", [PATCH, PATCH[:-1]])
def test_valid_patch_stays(patch: str) -> None:
    assert GRAMMAR.fullmatch(patch)
    assert mend_patch(patch) == patch


@pytest.mark.parametrize(
    "written",
    [
        f"```\n{PATCH}```", f"```diff\n{PATCH}```\n", f"\n\n{PATCH}\n\n",
        f"apply_patch <<'EOF'\n{PATCH}EOF", f"apply_patch <<EOF\n{PATCH}EOF\n",
        f'apply_patch "{PATCH}"', f"Here it is:\n{PATCH}That is all.",
        json.dumps({"input": PATCH}), json.dumps({"patch": PATCH}), json.dumps(PATCH),
        json.dumps({"command": ["apply_patch", PATCH]}),
        json.dumps({"cmd": f"apply_patch <<'EOF'\n{PATCH}EOF\n", "workdir": "."}),
        json.dumps(json.dumps({"input": PATCH})), json.dumps(json.dumps(json.dumps(PATCH))),
        f'{{"input": "{JSON_LINES}', '{"input": "' + JSON_LINES.replace('"', '\\"') + '"}}',
        JSON_LINES, JSON_LINES.replace('"', '\\"'),
        PATCH.replace("\n", "\r\n"),
        PATCH.replace(" Patch\n", " Patch ***\n"),  # lidge-jun/opencodex#372
        PATCH.replace(" Patch\n", " Patch \n"),
        PATCH.removesuffix("*** End Patch\n"), PATCH.removesuffix("\n*** End Patch\n"),
        f"```\n{PATCH.removesuffix('*** End Patch\n')}```\n",
        PATCH.replace("*** Add", "\n\n*** Add").replace("@@\n", "\n@@\n"),
        PATCH.replace("Begin Patch\n", "Begin Patch\n\n"),
    ],
)  # fmt: skip
def test_wrapped_patch_is_unwrapped(written: str) -> None:
    assert not GRAMMAR.fullmatch(written)
    assert mend_patch(written) == PATCH


def test_empty_line_in_a_hunk_is_an_empty_line_of_context() -> None:
    """As Codex itself reads it."""
    patch = "*** Begin Patch\n*** Update File: a\n@@\n-x\n\n y\n*** End Patch\n"
    assert mend_patch(patch) == patch.replace("\n\n", "\n \n")


@pytest.mark.parametrize(
    "written",
    [
        "", "Please change it.", '{"a": 1}', "[]", "5", "*** Begin Patch", "*** Begin Patch\n",
        "*** Begin Patch\n*** End Patch\n", f"{PATCH}{PATCH}",
        json.dumps([PATCH, PATCH]), json.dumps({"a": PATCH, "b": PATCH}),
        "*** Begin Patch\n*** Update File: a\nx\n*** End Patch\n",
        "*** Begin Patch\n*** Add File: a\n*** End Patch\n",
        "*** Begin Patch\n--- a\n+++ b\n*** End Patch\n",
        "prose\n*** Add File: a\n+x\n*** End Patch\n",
        f'{{"input": "{PATCH}"}}',  # which quotes end the string is unclear
        "*** End Patch\n*** Begin Patch\nx", "[" * 100_000,
    ],
)  # fmt: skip
def test_text_that_is_no_patch_stays(written: str) -> None:
    assert mend_patch(written) == written


@given(st.text(alphabet='*BeginEdPatchAFl: +-@\n\\"{}[]`', max_size=80), st.text(max_size=8))
def test_any_text_stays_or_becomes_a_valid_patch(around: str, inside: str) -> None:
    for text in (around, f"{around}*** Begin Patch\n{inside}", f"{around}{PATCH}{inside}"):
        mended = mend_patch(text)
        assert mended == text or GRAMMAR.fullmatch(mended)
        assert mend_patch(mended) == mended


LARK = {"type": "grammar", "syntax": "lark", "definition": 'begin: "*** Begin Patch" LF'}


@pytest.mark.parametrize(
    ("tool", "expected"),
    [
        ({"type": "custom", "name": "edit", "format": LARK}, True),
        ({"type": "custom", "name": "apply_patch"}, True),
        ({"type": "custom", "name": "apply_patch", "format": {"type": "text"}}, True),
        ({"type": "custom", "name": "apply_patch", "format": {**LARK, "definition": "x"}}, False),
        ({"type": "custom", "name": "exec"}, False),
        ({"type": "function", "name": "apply_patch"}, False),
    ],
)
def test_patch_tool_is_recognised_by_its_grammar_or_name(tool: Json, expected: bool) -> None:
    assert is_patch_tool(tool) is expected


FENCED = f"```\n{PATCH}```"


def call_events(tool: Json, *pieces: str) -> list[Json]:
    deltas = [{"index": 0, "function": {"arguments": piece}} for piece in pieces]
    head = {"index": 0, "id": "x", "function": {"name": tool["name"], "arguments": ""}}
    chunks = [chunk(tool_calls=[call]) for call in [head, *deltas]]
    return reply_events(*chunks, chunk("tool_calls"), exchange=responses_exchange(tools=[tool]))


def test_patch_is_sent_whole_when_it_is_complete() -> None:
    written = json.dumps({"input": FENCED})
    events = call_events({"type": "custom", "name": "apply_patch"}, written[:30], written[30:])
    deltas = [event["delta"] for event in events if event["type"].endswith("input.delta")]
    assert deltas == [PATCH] and output(events)[0]["input"] == PATCH


def test_input_of_other_freeform_tools_is_never_changed() -> None:
    events = call_events({"type": "custom", "name": "exec"}, json.dumps({"input": FENCED}))
    assert output(events)[0]["input"] == FENCED


def test_truncated_patch_makes_no_finished_call() -> None:
    tool = {"type": "custom", "name": "apply_patch"}
    exchange = responses_exchange(tools=[tool])
    call = {"index": 0, "id": "x", "function": {"name": "apply_patch", "arguments": '{"input":"*'}}
    wire = exchange.feed(stream(chunk(tool_calls=[call]), chunk("length")))
    assert b"input.done" not in wire


# Text that shows while it streams


def shown_text(*pieces: str) -> str:
    reader = InputText()
    return "".join(map(reader.feed, pieces))


TEXTS = [
    "",
    "words",
    'quo"te',
    "back\\slash\\",
    "a\nb\tc\r",
    "é🍞日本",
    "\x00\x1f/",
    "\\u0041",
    "\\n",
]


@pytest.mark.parametrize("ascii", [True, False])
@pytest.mark.parametrize("text", TEXTS)
def test_every_split_shows_the_decoded_input(text: str, ascii: bool) -> None:
    wire = json.dumps({"input": text}, ensure_ascii=ascii)
    for cut in range(len(wire) + 1):
        assert shown_text(wire[:cut], wire[cut:]) == text
    assert shown_text(*wire) == text


@given(st.text(), st.booleans(), st.sampled_from([",", ", "]), st.data())
def test_any_input_is_shown_decoded(
    text: str, ascii: bool, comma: str, data: st.DataObject
) -> None:
    wire = json.dumps({"input": text, "other": 1}, ensure_ascii=ascii, separators=(comma, ": "))
    cut = data.draw(st.integers(0, len(wire)))
    assert shown_text(wire[:cut], wire[cut:]) == text


def test_surrogate_pair_is_one_character_and_its_first_half_waits() -> None:
    reader = InputText()
    assert reader.feed('{"input":"a\\ud83c') == "a"
    assert reader.feed("\\udf5") == ""
    assert reader.feed("e!") == "🍞!"
    assert shown_text('{"input":"\\ud83cx') == ""
    assert shown_text('{"input":"\\udf5ex') == "\ufffdx"


@pytest.mark.parametrize("wire", ['{"patch":"x"}', "*** Begin", '["x"]', '{"input":5}', ""])
def test_other_forms_show_nothing(wire: str) -> None:
    assert shown_text(*wire) == ""


@pytest.mark.parametrize(
    ("wire", "text", "rest"),
    [
        ('{ "input" : "a\nb" } ', "a\nb", ""),
        ('{"input":"a"', "a", ""),
        ('{"input":"a', "a", ""),
        ('{"input":"say "hi" now"}', "say ", '"hi" now"}'),
        ('{"input":"\\ud83cx"}', "", '\\ud83cx"}'),
        ('{"input":"a"}}', "a", ""),
        ('{"input":"a","input":"b"}', "a", '","input":"b"}'),
    ],
)
def test_rest_is_the_text_that_was_not_understood(wire: str, text: str, rest: str) -> None:
    reader = InputText()
    assert "".join(map(reader.feed, wire)) == text
    assert reader.rest == rest


@pytest.mark.parametrize("text", [r"\d+\.", r"it\'s", "a \\\n b", r"C:\users", r"\u00é"])
def test_backslash_that_escapes_nothing_is_a_backslash(text: str) -> None:
    wire = '{"input":"' + text + '\\n\\\\d"}'
    for cut in range(len(wire) + 1):
        reader = InputText()
        assert reader.feed(wire[:cut]) + reader.feed(wire[cut:]) == text + "\n\\d"
        assert reader.rest == ""


def test_function_arguments_are_shown_unchanged() -> None:
    reader = VerbatimText()
    assert reader.feed('{"a') == '{"a' and reader.rest == ""
