"""Joins surrogate pairs that an upstream splits over the texts of two deltas.

Servers that cut texts by UTF-16 units do so: one delta ends in `\\ud83c`, the next begins with
`\\udf5e`. Either half alone has no UTF-8.
"""

from typing import Any

from translate.wire import codec
from translate.wire.json_steps import LARGE_JSON, load_json_in_steps


class PairJoiner:
    """`feed` takes the JSON of each chunk or event, and returns those that are complete.

    A delta that ends in the first half of a pair is held back until the next one comes; `flush`
    returns it at the end. A half without the other becomes U+FFFD. `max_values`: of large JSON.
    """

    def __init__(self, max_values: int) -> None:
        self._max_values = max_values
        self._held_delta: Any = None

    def feed(self, data: bytes) -> list[Any]:
        """Raises ValueError for what is not JSON, and TooManyValues, a ValueError."""
        value, may_have_halves = self._load_json(data)
        if self._held_delta is None and not may_have_halves:
            return [value]
        held_delta, self._held_delta = self._held_delta, None
        held_delta, value = _join_texts(held_delta, value)
        complete = [] if held_delta is None else [held_delta]
        if _is_delta(value) and _ends_in_half(value):
            self._held_delta = value
        else:
            complete.append(value)
        return [codec.replace_all_surrogates(value) for value in complete]

    def _load_json(self, data: bytes) -> tuple[Any, bool]:
        """The value, and whether it may have lone halves; large JSON is no delta."""
        if len(data) > LARGE_JSON:
            return load_json_in_steps(data, self._max_values), False
        return codec.load_json_with_halves(data)

    def flush(self) -> list[Any]:
        held_delta, self._held_delta = self._held_delta, None
        return [] if held_delta is None else [codec.replace_all_surrogates(held_delta)]


def _is_delta(value: Any) -> bool:
    """Whether other text may follow: a last event must not wait for it."""
    if not isinstance(value, dict):
        return False
    return "choices" in value or str(value.get("type")).endswith(".delta")


def _ends_in_half(value: Any) -> bool:
    match value:
        case str():
            return "\ud800" <= value[-1:] <= "\udbff"
        case dict():
            return any(map(_ends_in_half, value.values()))
        case list():
            return any(map(_ends_in_half, value))
    return False


def _join_texts(first: Any, second: Any) -> tuple[Any, Any]:
    """Both values, with the second half of a pair beside its first wherever a text goes on."""
    match first, second:
        case str(), str() if _ends_in_half(first) and "\udc00" <= second[:1] <= "\udfff":
            return first + second[0], second[1:]
        case dict(), dict():
            pairs = {
                name: _join_texts(text, second[name])
                for name, text in first.items()
                if name in second
            }
            return (
                {**first, **{name: pair[0] for name, pair in pairs.items()}},
                {**second, **{name: pair[1] for name, pair in pairs.items()}},
            )
        case list(), list():
            count = min(len(first), len(second))
            joined = [_join_texts(*pair) for pair in zip(first, second, strict=False)]
            return (
                [*(pair[0] for pair in joined), *first[count:]],
                [*(pair[1] for pair in joined), *second[count:]],
            )
    return first, second
