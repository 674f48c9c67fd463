"""The order of accounts by each strategy."""

import math

from addons.accounts.strategy import AccountLoad, order_accounts
from addons.config.option_types import AccountStrategy

A = AccountLoad("a", used_percent=5, next_reset_at=9)
B = AccountLoad("b", used_percent=5, next_reset_at=7)
FULL_B = AccountLoad("b", can_serve_now=False)


def order_of(
    strategy: AccountStrategy, *loads: AccountLoad, session: str = "s", previous: str | None = None
) -> list[str]:
    return order_accounts(
        strategy,
        loads,
        session=session,
        previous=previous,
        selected="b",
        conversation_count=0,
    )


def test_each_strategy_has_its_own_order() -> None:
    assert order_of("selected", A, B) == ["b", "a"]
    assert order_of("least_used", A, B) == ["b", "a"]
    assert order_of("round_robin", A, B) == ["a", "b"]


def test_among_equally_used_accounts_the_next_to_reset_is_first() -> None:
    never_resets = AccountLoad("a", next_reset_at=math.inf, in_flight=1)
    assert order_of("least_used", never_resets, B) == ["a", "b"]
    assert order_of("least_used", A, B) == ["b", "a"]


def test_previous_account_of_the_conversation_is_first() -> None:
    assert order_of("least_used", A, B, previous="a") == ["a", "b"]


def test_only_selected_and_sticky_wait_for_a_busy_account() -> None:
    assert order_of("selected", A, FULL_B) == ["b", "a"]
    assert order_of("least_used", A, FULL_B) == ["a", "b"]
    assert order_of("round_robin", FULL_B, A) == ["a", "b"]


def test_sticky_order_depends_on_the_session_alone() -> None:
    orders = {tuple(order_of("sticky", A, B, session=f"s{n}")) for n in range(20)}
    assert orders == {("a", "b"), ("b", "a")}
    first, _ = order_of("sticky", A, B)
    full = [AccountLoad(load.name, can_serve_now=load.name != first) for load in (A, B)]
    assert order_of("sticky", *full)[0] == first


def test_sticky_without_a_session_is_least_used() -> None:
    assert order_of("sticky", A, B, session="") == ["b", "a"]
    assert order_of("sticky", A, FULL_B, session="") == ["a", "b"]
