"""What replies of each style show beside what they were asked for."""

import pytest

from addons.config import ConfigFile
from scripts.cli.probe.chat_reply import ChatReply, RecordedReply, read_chat_reply
from scripts.cli.probe.endpoint import Endpoint
from scripts.cli.probe.findings import Finding, Measurements
from scripts.cli.probe.grid import GROUPS
from scripts.cli.probe.observations import OBSERVATIONS, observe_replies
from scripts.cli.probe.probes import ALL_PROBES
from tests.replies import STYLES, Part, Reply, call, say, stream, think


def read_style(name: str, *parts: Part, wants_usage: bool = True) -> ChatReply:
    steps = stream("m", Reply(parts, STYLES[name]), wants_usage)
    body = b"".join(step for step in steps if isinstance(step, bytes))
    return read_chat_reply(RecordedReply(200, body, first_byte_after=0.25))


def measure_style(name: str) -> Measurements:
    measured = Measurements(
        Endpoint("http://localhost/v1", ConfigFile.empty().providers["generic"])
    )
    measured.replies = {
        "max_tokens": read_style(name, think("Hm."), say("ready"), wants_usage=False),
        "stream_options": read_style(name, say("ready")),
        "tool call": read_style(name, call("look_up", town="Oslo"), call("look_up", town="Lima")),
    }
    for probe in measured.replies:
        measured.findings[probe] = Finding(probe, "basics", "seen", "")
    return measured


# Style → observations that tell it from the others.
SHOWN = {
    "deepseek": {
        "[DONE]": ("seen", "data: [DONE]"),
        "keep-alives": ("seen", "1 in the stream"),
        "line ends": ("seen", "lines end with LF"),
        "usage, requested": ("seen", "in a chunk of its own"),
        "thinking": ("seen", "reasoning_content"),
        "arguments of calls": ("seen", "in 3 pieces"),
        "finish_reason of calls": ("seen", "tool_calls"),
        "call ids": ("seen", 'unique: "call_00_0"'),
        "usage, not requested": ("not seen", "no usage without stream_options"),
    },
    "gemini": {
        "line ends": ("seen", "lines end with CRLF"),
        "usage, requested": ("seen", "in the last chunk"),
        "arguments of calls": ("seen", "whole, in one chunk"),
        "finish_reason of calls": ("seen", "stop"),
    },
    "kimi": {"usage, requested": ("seen", "inside the last choice")},
    "minimax": {
        "[DONE]": ("not seen", 'the stream ends with "{"content": "ready"}"'),
        "thinking": ("seen", "between <think> tags in the text"),
    },
    "mistral": {"thinking": ("seen", "parts of the content")},
    "ollama": {"thinking": ("seen", "reasoning")},
    "openai": {"thinking": ("not seen", "no reply shows thinking")},
    "sloppy": {"call ids": ("not seen", "calls come without ids")},
}


@pytest.mark.parametrize("name", SHOWN)
def test_style_is_observed(name: str) -> None:
    findings = {each.probe: each for each in observe_replies(measure_style(name))}
    for probe, (verdict, evidence) in SHOWN[name].items():
        finding = findings[probe]
        if probe == "[DONE]" and verdict == "not seen":
            assert finding.verdict == verdict
        else:
            assert (finding.verdict, finding.evidence) == (verdict, evidence)


def test_call_in_the_text_is_observed() -> None:
    measured = measure_style("deepseek")
    measured.replies["tool call"] = read_style("deepseek", say('[TOOL_CALLS][{"name": "look_up"}]'))
    findings = {each.probe: each for each in observe_replies(measured)}
    assert "[TOOL_CALLS]" in findings["calls in the text"].evidence
    assert "call ids" not in findings


def test_whole_body_in_place_of_a_stream_is_observed() -> None:
    measured = measure_style("deepseek")
    body = b'{"choices": [{"message": {"content": "ready"}}]}'
    measured.replies["max_tokens"] = read_chat_reply(RecordedReply(200, body))
    findings = {each.probe: each for each in observe_replies(measured)}
    assert findings["events"].verdict == "ignored"
    assert "[DONE]" not in findings


def test_nothing_is_observed_without_replies() -> None:
    assert not list(
        observe_replies(Measurements(Endpoint("http://x", ConfigFile.empty().providers["generic"])))
    )


def test_each_row_of_the_grid_has_one_name_and_a_known_group() -> None:
    names = [*OBSERVATIONS, *(probe.name for probe in ALL_PROBES)]
    assert len(names) == len(set(names))
    groups = {group for group, _ in OBSERVATIONS.values()} | {each.group for each in ALL_PROBES}
    assert groups == set(GROUPS)
