"""Events to many pages: the number of pages is bounded, and so are the events that wait."""

import pytest

from addons.dashboard import event_hub
from addons.dashboard.event_hub import MAX_SUBSCRIPTIONS, EventHub, TooManySubscriptions
from tests.addons.proxy import bounded


@bounded
async def test_number_of_subscriptions_is_bounded() -> None:
    hub = EventHub()
    subscriptions = [hub.open_subscription(None) for _ in range(MAX_SUBSCRIPTIONS)]
    with pytest.raises(TooManySubscriptions):
        hub.open_subscription(None)
    subscriptions[0].close()
    hub.open_subscription(None).close()
    assert [text async for text in subscriptions[0].event_texts()] == []


@bounded
async def test_quiet_page_gets_keepalive_events() -> None:
    patch = pytest.MonkeyPatch()
    patch.setattr(event_hub, "KEEPALIVE_INTERVAL", 0.01)
    subscription = EventHub().open_subscription(None)
    assert await anext(subscription.event_texts()) == event_hub.KEEPALIVE_EVENT
    patch.undo()
