"""Log probabilities, asked for and told."""

from typing import Any

import pytest

from tests.translate.support import PROVIDERS, Json, carry, chunk, output, replied, sent

ASKED = {"include": ["message.output_text.logprobs"]}
TAKES = PROVIDERS["openrouter"]


@pytest.mark.parametrize(
    ("asked", "chat"),
    [
        (ASKED, {"logprobs": True}),
        ({"top_logprobs": 3}, {"logprobs": True, "top_logprobs": 3}),
        ({**ASKED, "top_logprobs": 3}, {"logprobs": True, "top_logprobs": 3}),
        ({"include": ["reasoning.encrypted_content"]}, {}),
    ],
)
def test_logprobs_are_asked_for(asked: Json, chat: Json) -> None:
    body = sent(asked, TAKES)
    assert {name: body[name] for name in ("logprobs", "top_logprobs") if name in body} == chat


def test_what_is_not_taken_is_reported() -> None:
    crossing = carry({**ASKED, "top_logprobs": 3}, PROVIDERS["groq"])
    assert crossing.dropped == ["message.output_text.logprobs", "top_logprobs"]


def one(token: str, **more: Any) -> Json:
    return {"token": token, "logprob": -0.5, **more}


def told(token: str, *top: Json) -> Json:
    return {"token": token, "bytes": list(token.encode()), "logprob": -0.5, "top_logprobs": [*top]}


def said(text: str, *tokens: Json, **more: Any) -> Json:
    made = chunk(content=text, **more)
    made["choices"][0]["logprobs"] = {"content": list(tokens), "refusal": None}
    return made


def test_logprobs_go_with_their_text() -> None:
    top = {"token": "Ho", "bytes": [72, 111], "logprob": -1}
    events = replied(said("Hot ", one("Hot ", top_logprobs=[top])), said("oven", one("oven")),
                     chunk("stop"))  # fmt: skip
    deltas = [event for event in events if event["type"] == "response.output_text.delta"]
    assert [event["logprobs"] for event in deltas] == [[told("Hot ", top)], [told("oven")]]
    [done] = [event for event in events if event["type"] == "response.output_text.done"]
    [message] = output(events)
    assert (
        done["logprobs"] == message["content"][0]["logprobs"] == [told("Hot ", top), told("oven")]
    )


def test_logprobs_of_thinking_are_none_of_the_texts() -> None:
    events = replied(
        said("<think>Hm.", one("<think>Hm.")), said("</think>Hot", one("Hot")), chunk("stop")
    )
    _, message = output(events)
    assert message["content"][0]["logprobs"] == [told("Hot")]
    unsaid = replied(said("", one("x"), reasoning="Hm."), chunk("stop", content="Hot"))
    assert "logprobs" not in output(unsaid)[1]["content"][0]


@pytest.mark.parametrize(
    "logprobs",
    [None, 5, {}, {"content": None}, {"content": [5, {}, {"token": "x"}, {"logprob": 1}]},
     {"tokens": ["x"], "token_logprobs": [-1]}],
)  # fmt: skip
def test_other_forms_are_passed_over(logprobs: Any) -> None:
    made = chunk(content="Hot")
    made["choices"][0]["logprobs"] = logprobs
    [message] = output(replied(made, chunk("stop")))
    assert "logprobs" not in message["content"][0]
