"""Sources of a text, in the forms of several providers."""

import pytest

from tests.translate.support import Json, carry, chunk, output, replied

URL = "https://example.com/oven"
PLACED = {"url": URL, "title": "Ovens", "start_index": 4, "end_index": 8}
NESTED = {"type": "url_citation", "url_citation": PLACED}


def cited(*chunks: Json) -> list[Json]:
    events = replied(*chunks, chunk("stop"))
    added = [event for event in events if event["type"].endswith("annotation.added")]
    [message] = output(events)
    annotations: list[Json] = message["content"][0]["annotations"]
    assert [event["annotation"] for event in added] == annotations
    assert [event["annotation_index"] for event in added] == list(range(len(added)))
    return annotations


def source(start: int, end: int, title: str = "Ovens") -> Json:
    return {
        "type": "url_citation", "url": URL, "title": title,
        "start_index": start, "end_index": end,
    }  # fmt: skip


TEXT = chunk(content="Hot ovens.")


@pytest.mark.parametrize(
    ("chunks", "annotations"),
    [
        ([TEXT, chunk(annotations=[NESTED])], [source(4, 8)]),
        ([chunk(annotations=[NESTED]), TEXT], [source(4, 8)]),
        ([TEXT, chunk(annotations=[{"type": "url_citation", **PLACED}])], [source(4, 8)]),
        ([TEXT, chunk(annotations=[NESTED]), chunk(annotations=[NESTED])], [source(4, 8)]),
        ([TEXT | {"citations": [URL]}, {"choices": [], "citations": [URL]}], [source(10, 10, URL)]),
        ([TEXT, {"choices": [], "citations": [{"url": URL, "title": "Ovens"}]}], [source(10, 10)]),
        ([TEXT, chunk("stop"), {"choices": [], "citations": [URL]}], [source(10, 10, URL)]),
        # no place in this text
        ([TEXT, chunk(annotations=[{**NESTED, "url_citation": {**PLACED, "end_index": 99}}])],
         [source(10, 10)]),
        ([TEXT, chunk(annotations=[{**NESTED, "url_citation": {**PLACED, "end_index": None}}])],
         [source(10, 10)]),
        # none
        ([TEXT, chunk(annotations=None)], []),
        ([TEXT, chunk(annotations=["x", {"type": "file", "file": {"hash": "h"}}])], []),
        ([TEXT, chunk(annotations=[{"type": "url_citation", "url_citation": {}}])], []),
        ([TEXT | {"citations": [5, None, {}]}], []),
    ],
)  # fmt: skip
def test_sources_become_annotations(chunks: list[Json], annotations: list[Json]) -> None:
    assert cited(*chunks) == annotations


def test_places_count_from_the_part_that_holds_them() -> None:
    later = {
        **NESTED,
        "url_citation": {**PLACED, "start_index": 9, "end_index": 11},
    }
    chunks = [chunk(content="Before."), chunk(reasoning="Hm."), chunk(content="So hot.")]
    events = replied(*chunks, chunk(annotations=[later]), chunk("stop"))
    assert output(events)[2]["content"][0]["annotations"] == [source(2, 4)]


def test_source_of_no_text_is_reported() -> None:
    crossing = carry(tools=[{"type": "function", "name": "f"}])
    call = {"index": 0, "id": "x", "function": {"name": "f", "arguments": "{}"}}
    replied(chunk(tool_calls=[call]), chunk(annotations=[NESTED]), chunk("stop"), by=crossing)
    assert crossing.dropped == ["annotations"]


def test_sources_that_every_chunk_repeats_are_told_once() -> None:
    crossing = carry(tools=[{"type": "function", "name": "f"}])
    call = {"index": 0, "id": "x", "function": {"name": "f", "arguments": "{}"}}
    chunks = [TEXT, chunk(tool_calls=[call]), chunk("stop")]
    events = replied(*[one | {"citations": [URL]} for one in chunks], by=crossing)
    assert output(events)[0]["content"][0]["annotations"] == [source(10, 10, URL)]
    assert crossing.dropped == []
