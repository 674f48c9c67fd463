"""Content views: how mitmweb, mitmproxy and mitmdump show an exchange to a person."""

from addons.views.addon import Views
from addons.views.stream_parsing import assemble_reply, parse_stream

__all__ = [
    "Views",
    "assemble_reply",
    "parse_stream",
]
