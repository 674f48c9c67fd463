"""Content views: what mitmweb, mitmproxy and mitmdump show of an exchange, as a person reads it."""

from typing import Any

from mitmproxy import contentviews

from addons.views.base import View
from addons.views.catalog_view import Catalog
from addons.views.compare_view import Both
from addons.views.stream import Stream
from addons.views.turn_view import Turn


class Views:
    """Puts the views up, and takes them down when the script is read anew."""

    def __init__(self) -> None:
        self.views: tuple[View, ...] = (Turn(), Stream(), Both(), Catalog())

    def load(self, loader: Any) -> None:
        for view in self.views:
            contentviews.add(view)

    def done(self) -> None:
        known: dict[str, Any] = contentviews.registry._by_name  # nothing public takes one away
        for view in self.views:
            if known.get(view.name.lower()) is view:
                del known[view.name.lower()]
