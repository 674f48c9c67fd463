"""The addon that registers the content views with mitmproxy."""

from typing import Any

from mitmproxy import contentviews

from addons.views.base import RelayView
from addons.views.catalog_view import Catalog
from addons.views.compare_view import BothSides
from addons.views.stream_view import Stream
from addons.views.turn_view import Turn


class Views:
    """Registers the views, and removes them when mitmproxy unloads the script."""

    def __init__(self) -> None:
        self.views: tuple[RelayView, ...] = (Turn(), Stream(), BothSides(), Catalog())

    def load(self, loader: Any) -> None:
        for view in self.views:
            contentviews.add(view)

    def done(self) -> None:
        # mitmproxy has no public function that removes a view.
        registered: dict[str, Any] = contentviews.registry._by_name
        for view in self.views:
            if registered.get(view.name.lower()) is view:
                del registered[view.name.lower()]
