"""How many finished exchanges mitmweb and the console keep: it would keep each for ever."""

from collections import deque

from mitmproxy.http import HTTPFlow

from addons.config import addon as config
from addons.observe import flow_pair as rows

_kept: deque[tuple[tuple[HTTPFlow, ...], int]] = deque()  # the oldest first, with its bytes


def put(*flows: HTTPFlow) -> None:
    """The rows of an exchange that has ended; makes room for them."""
    view, settings = rows.viewer(), config.settings()
    if not view:
        return
    _kept.append((flows, sum(map(size, flows))))
    total = sum(bytes for _, bytes in _kept)
    while len(_kept) > settings.keep or (total > settings.keep_megabytes << 20 and len(_kept) > 1):
        oldest, bytes = _kept.popleft()
        total -= bytes
        view.remove([flow for flow in oldest if view.get_by_id(flow.id)])


def size(flow: HTTPFlow) -> int:
    messages = (flow.request, flow.response)
    return sum(len(message.raw_content or b"") for message in messages if message)
