"""Patches that Chat models wrapped, and what is left alone."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.translate.support import Json, carry, chunk, output, replied, stream
from translate.tools.freeform_input import PATCH as GRAMMAR
from translate.tools.freeform_input import is_patch_tool, mended

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
def test_valid_patch_is_left_alone(patch: str) -> None:
    assert GRAMMAR.fullmatch(patch)
    assert mended(patch) == patch


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
    assert mended(written) == PATCH


def test_empty_line_in_a_hunk_is_an_empty_line_of_context() -> None:
    """As Codex itself reads it."""
    patch = "*** Begin Patch\n*** Update File: a\n@@\n-x\n\n y\n*** End Patch\n"
    assert mended(patch) == patch.replace("\n\n", "\n \n")


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
        f'{{"input": "{PATCH}"}}',  # quotes that end it, or do not: nobody knows
        "*** End Patch\n*** Begin Patch\nx", "[" * 100_000,
    ],
)  # fmt: skip
def test_what_cannot_be_mended_passes_as_it_came(written: str) -> None:
    assert mended(written) == written


@given(st.text(alphabet='*BeginEdPatchAFl: +-@\n\\"{}[]`', max_size=80), st.text(max_size=8))
def test_mending_is_total_and_makes_patches_only(around: str, inside: str) -> None:
    for text in (around, f"{around}*** Begin Patch\n{inside}", f"{around}{PATCH}{inside}"):
        made = mended(text)
        assert made == text or GRAMMAR.fullmatch(made)
        assert mended(made) == made


LARK = {"type": "grammar", "syntax": "lark", "definition": 'begin: "*** Begin Patch" LF'}


@pytest.mark.parametrize(
    ("tool", "is_one"),
    [
        ({"type": "custom", "name": "edit", "format": LARK}, True),
        ({"type": "custom", "name": "apply_patch"}, True),
        ({"type": "custom", "name": "apply_patch", "format": {"type": "text"}}, True),
        ({"type": "custom", "name": "apply_patch", "format": {**LARK, "definition": "x"}}, False),
        ({"type": "custom", "name": "exec"}, False),
        ({"type": "function", "name": "apply_patch"}, False),
    ],
)
def test_patch_tool_is_told_by_its_grammar(tool: Json, is_one: bool) -> None:
    assert is_patch_tool(tool) is is_one


FENCED = f"```\n{PATCH}```"


def called(tool: Json, *pieces: Any) -> list[Json]:
    deltas = [{"index": 0, "function": {"arguments": piece}} for piece in pieces]
    head = {"index": 0, "id": "x", "function": {"name": tool["name"], "arguments": ""}}
    chunks = [chunk(tool_calls=[one]) for one in [head, *deltas]]
    return replied(*chunks, chunk("tool_calls"), by=carry(tools=[tool]))


def test_patch_comes_at_once() -> None:
    written = json.dumps({"input": FENCED})
    events = called({"type": "custom", "name": "apply_patch"}, written[:30], written[30:])
    deltas = [event["delta"] for event in events if event["type"].endswith("input.delta")]
    assert deltas == [PATCH] and output(events)[0]["input"] == PATCH


def test_other_freeform_input_is_never_touched() -> None:
    events = called({"type": "custom", "name": "exec"}, json.dumps({"input": FENCED}))
    assert output(events)[0]["input"] == FENCED


def test_patch_that_was_cut_off_is_no_call() -> None:
    tool = {"type": "custom", "name": "apply_patch"}
    crossing = carry(tools=[tool])
    call = {"index": 0, "id": "x", "function": {"name": "apply_patch", "arguments": '{"input":"*'}}
    wire = crossing.feed(stream(chunk(tool_calls=[call]), chunk("length")))
    assert b"input.done" not in wire
