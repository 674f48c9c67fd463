"""Rows for the addons: secret patterns, views, headers, records."""

import json
from collections.abc import Callable
from typing import Any

from mitmproxy.contentviews import Metadata
from mitmproxy.test import tflow

from addons.exchange.headers import header_text
from addons.exchange.images import replace_images
from addons.ingress.redaction import mask_json, mask_text
from addons.replay.export_case import Anonymizer
from addons.secret_mask import SecretMask
from addons.views.base import RelayView
from addons.views.compare_view import request_comparison, side_names
from addons.views.stream_view import Stream
from addons.views.text import describe_data_urls, wrap_prose
from addons.views.turn_view import Turn
from tests.linear.growth import LinearRow, cut_pieces, feed_pieces, repeat_bytes, repeat_to
from tests.translate.support import GENERIC

KEY = "sk-proj-0123456789abcdefghijklmnopqrstuvwxyz"
ESCAPED_START = "".join(f"\\u{ord(character):04x}" for character in KEY[:-1])
EVENT = b'data: {"choices": [{"index": 0, "delta": {"content": "some words "}}]}\n\n'

# The beginnings of secrets, and of what an exported case hides beside them; many times each.
SECRET_STARTS = [
    *("-----BEGIN KEY", "-----BEGIN PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----\n-----END "),
    *("-----BEGIN  ", "-", "eyJ-", "eyJ", "-eyJabcdefgh", "eyJabcdefgh.eyJ", "bearer ", "bearer a"),
    *("gAAAA-", "sk-", "sk-a.", "sk-proj-", "sess-", "pk_abc.", "ghp_", "ghp_a.", "xoxb-", "AKIA"),
    *("AIza-", "AIza0."),
]  # fmt: skip
PRIVATE_STARTS = [
    *("data:image/", "data:image/a;base64,", "user-", "user-a", "0a1b2c3d-"),
    *("a.", "a@", "a@b.", "a-b+", "/home/", "/home/a"),
]  # fmt: skip


def new_mask() -> SecretMask:
    return SecretMask([f"Bearer {KEY}"])


def mask_text_and_json(text: str) -> None:
    mask_text(text, [KEY])
    mask_json({"texts": [text]}, [KEY])


def hide_in_pieces(pieces: list[str]) -> None:
    """A case of a stream with these deltas."""
    chunks = [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in pieces]
    reply = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks)
    Anonymizer("{}", reply).hide_in_reply(reply)


def render_with(view: RelayView, is_request: bool) -> Callable[[bytes], object]:
    flow = tflow.tflow(resp=True)
    message = flow.request if is_request else flow.response
    return lambda body: view.prettify(body, Metadata(flow=flow, http_message=message))


def request_body(**fields: Callable[[int], Any]) -> Callable[[int], bytes]:
    return lambda size: json.dumps({name: make(size) for name, make in fields.items()}).encode()


def compare_requests(texts: list[str]) -> None:
    """Both sides of a request whose every text is joined or changed."""
    old = {"input": [{"role": "user", "content": text} for text in texts]}
    new = {"messages": [{"role": "user", "content": f"{text}!"} for text in reversed(texts)]}
    record = {"dropped": [f"input[{index}]" for index in range(len(texts))]}
    names = side_names(tflow.tflow().request, record)
    for _ in request_comparison(old, new, names, record):
        pass


BAD_IMAGE = {"type": "input_image", "image_url": "data:image/png;base64,eA=="}  # becomes a text
IMAGE_ITEM = {"role": "user", "content": [BAD_IMAGE]}


def replace_bad_images(items: list[Any]) -> None:
    replace_images({"input": items}, GENERIC)


MANY_ITEMS = request_body(input=lambda size: [{}] * (size // 4))
MANY_TOOLS = request_body(tools=lambda size: [{"name": "a"}] * (size // 15))
THINKING = request_body(
    messages=lambda size: [{"role": "assistant", "content": [{"type": "thinking"}] * (size // 22)}]
)
LONG_NAME = request_body(input=lambda size: [{"role": "a" * size}])

ADDON_ROWS: list[LinearRow] = [
    *(
        LinearRow(f"secrets in {unit!r}", mask_text_and_json, repeat_to(unit))
        for unit in SECRET_STARTS
    ),
    *(
        LinearRow(f"a case of {unit!r}", Anonymizer("{}", b"").hide_in_text, repeat_to(unit))
        for unit in PRIVATE_STARTS
    ),
    LinearRow(
        "a case in pieces",
        hide_in_pieces,
        cut_pieces(repeat_to("user-a1b2c3d4e5 "), 5),
        largest=1 << 18,
    ),
    LinearRow("the key", feed_pieces(new_mask), cut_pieces(repeat_bytes(KEY.encode()), 1000)),
    LinearRow(
        "starts of the key",
        feed_pieces(new_mask),
        cut_pieces(repeat_bytes(KEY[:-1].encode()), 1000),
    ),
    LinearRow(
        "starts of the key with escapes",
        feed_pieces(new_mask),
        cut_pieces(repeat_bytes(ESCAPED_START.encode()), 1000),
    ),
    LinearRow(
        "backslashes", feed_pieces(new_mask), cut_pieces(repeat_bytes(b"\\", end=b"\\u00"), 100)
    ),
    LinearRow("images", replace_bad_images, lambda size: [IMAGE_ITEM] * (size // 100)),
    LinearRow(
        "images of one item",
        replace_bad_images,
        lambda size: [{**IMAGE_ITEM, "content": [BAD_IMAGE] * (size // 70)}],
    ),
    LinearRow("a header", header_text, repeat_to("ä")),
    LinearRow("pictures in a text", describe_data_urls, repeat_to("data:a/b;c;base64;")),
    LinearRow("a text without spaces", wrap_prose, repeat_to("a")),
    LinearRow("a text of spaces", wrap_prose, repeat_to(" ")),
    LinearRow("a page of items", render_with(Turn(), True), MANY_ITEMS),
    LinearRow("a page of tools", render_with(Turn(), True), MANY_TOOLS),
    LinearRow("a page of thinking parts", render_with(Turn(), True), THINKING),
    LinearRow("a page of a long name", render_with(Turn(), True), LONG_NAME),
    LinearRow("a page of a stream", render_with(Stream(), False), repeat_bytes(EVENT)),
    LinearRow("a page of comments", render_with(Stream(), False), repeat_bytes(b":\n\n")),
    LinearRow("a page of newlines", render_with(Stream(), False), repeat_bytes(b"\n", b"data: ")),
    LinearRow(
        "two requests beside each other", compare_requests, cut_pieces(repeat_to("words "), 60)
    ),
]
