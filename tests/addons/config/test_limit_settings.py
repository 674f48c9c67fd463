"""The limits: how they are written, and what they are by default."""

import pytest

from addons.config.config_file import WrongSettings, read_settings
from addons.config.limit_settings import (
    BodyTotals,
    ByteCount,
    ExchangeLimits,
    LimitSettings,
    RequestLimits,
    translation_limits,
)
from translate import Limits

MB = 1 << 20


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("max_request", "100MB,200MB", RequestLimits(ByteCount(100 * MB), ByteCount(200 * MB))),
        ("max_request", "1 gb", RequestLimits(ByteCount(1 << 30), ByteCount(1 << 30))),
        ("max_side_call", "2MB", 2 * MB),
        ("max_side_call", "5000", 5000),
        ("max_head", "1.5KB", 1536),
        ("max_exchanges", "10,2", ExchangeLimits(10, 2)),
        ("max_exchanges", "10", ExchangeLimits(10, 10)),
        ("max_bodies", "2GB,1GB", BodyTotals(ByteCount(2 << 30), ByteCount(1 << 30))),
        ("max_connections", "", None),
        ("max_connections", "300", 300),
        ("idle", "0.5", 0.5),
    ],
)
def test_valid_limits(name: str, text: str, value: object) -> None:
    assert getattr(read_settings({f"relay_{name}": text}, {}), name) == value


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("max_request", "64TB", "is not a size"),
        ("max_request", "64MB,x", "is not a size"),
        ("max_request", "1MB,2MB,3MB", "neither one amount nor two"),
        ("max_side_call", "1.2.3MB", "is not a size"),
        pytest.param("max_side_call", f"{10**400}GB", "is not a size", id="401 digits"),
        ("max_side_call", "0", "greater than or equal to 1000"),
        ("max_head", "many", "is not a size"),
        ("max_exchanges", "0", "greater than or equal to 1"),
        ("max_nesting", "5000", "less than or equal to 200"),
        ("idle", "0", "greater than 0"),
    ],
)
def test_wrong_limits_name_the_option_and_the_reason(name: str, text: str, why: str) -> None:
    with pytest.raises(WrongSettings) as wrong:
        read_settings({f"relay_{name}": text}, {})
    assert f"relay_{name}" in str(wrong.value) and why in str(wrong.value)


@pytest.mark.parametrize(
    ("count", "text"), [(64 * MB, "64MB"), (128 << 10, "128KB"), (1 << 30, "1GB"), (1500, "1500")]
)
def test_sizes_are_shown_with_their_largest_unit(count: int, text: str) -> None:
    assert str(ByteCount(count)) == text


def test_the_defaults_are_those_of_the_translation() -> None:
    assert translation_limits(LimitSettings()) == Limits()
    assert str(LimitSettings().max_request) == "64MB,128MB"
    assert str(LimitSettings().max_exchanges) == "1000,250"
    assert str(LimitSettings().max_bodies) == "1GB,512MB"
