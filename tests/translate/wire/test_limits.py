"""The limits of an exchange stand in its context; a request past one is a 413."""

from dataclasses import replace

from tests.translate.support import context_for
from translate import BadRequest, Limits, RequestTooLarge


def test_every_exchange_is_limited() -> None:
    assert context_for().limits == Limits()
    assert replace(context_for(), limits=Limits(item_count=2)).limits.item_count == 2


def test_error_of_a_large_request_has_its_own_status() -> None:
    assert BadRequest("no").status == 400
    error = RequestTooLarge("input: more than 2 items", param="input")
    assert isinstance(error, BadRequest)
    assert (error.status, error.message, error.param) == (413, "input: more than 2 items", "input")
