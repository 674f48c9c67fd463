"""Fits the images of a request to its provider: within its limits, in its formats, and of the type
that their URL names.

Anything that is not an image becomes text, as one bad part makes a whole session fail
(openai/codex#5346).
"""

import base64
import binascii
import io
import re
import threading
import warnings
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from typing import Any, NamedTuple

from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from addons.large_work import run_in_thread, run_sized
from translate import Provider

type Json = dict[str, Any]

# The formats that are decoded at all, by their names in Pillow.
MEDIA_TYPES = {
    "AVIF": "image/avif", "BMP": "image/bmp", "GIF": "image/gif", "ICO": "image/x-icon",
    "JPEG": "image/jpeg", "JPEG2000": "image/jp2", "PNG": "image/png",
    "PPM": "image/x-portable-anymap", "TIFF": "image/tiff", "WEBP": "image/webp",
}  # fmt: skip
MPO = {"MPO": "image/jpeg"}  # a phone's JPEG with further images behind the first
# Providers want a "non-animated GIF": developers.openai.com images-vision guide.
ANIMATED_FORMATS = ("GIF", "PNG", "WEBP")
SMALLEST_SIDE = 64  # pixels; at this size, even an image of too many bytes is not shrunk further
UNKNOWN_TYPE = "unknown type"

MAX_CACHED, MAX_CACHED_BYTES = 512, 64_000_000

# Pillow refuses images of more than 180 million pixels, but only warns from 90 million on.
warnings.simplefilter("error", Image.DecompressionBombWarning)


class ImageLimits(NamedTuple):
    """The limits of a provider."""

    max_side: int  # pixels; 0: any
    max_bytes: int  # in base64; 0: any
    media_types: frozenset[str]


@dataclass(frozen=True)
class FittedImage:
    """What is sent in place of an image; without a URL and a text, the image itself is sent."""

    url: str = ""
    placeholder_text: str = ""
    change: str = ""  # how it differs from the image, for the list `dropped`

    @property
    def is_changed(self) -> bool:
        return bool(self.url or self.placeholder_text)


class UnusableImage(ValueError):
    """The image cannot be sent; the message says why."""


class ImageFields(NamedTuple):
    """The fields in which a dialect has its images."""

    list_field: str  # the list of items or messages
    content: tuple[str, ...]  # their fields that hold lists of parts
    image_part: str  # type of a part with an image
    text_part: str


DIALECT_FIELDS = (
    ImageFields("input", ("content", "output"), "input_image", "input_text"),
    ImageFields("messages", ("content",), "image_url", "text"),
)


class RequestImage(NamedTuple):
    """An image in a request, and its position."""

    fields: ImageFields
    item_index: int
    field: str
    part_index: int
    part: Json
    url: str


class ImageCache:
    """The latest fitted images, as every request of a session repeats all of its images."""

    def __init__(self) -> None:
        self._images: dict[tuple[bytes, ImageLimits], FittedImage] = {}  # the latest is the last
        self._size = 0  # bytes of their URLs
        self._lock = threading.Lock()
        # One image at a time, as one may take half a gigabyte for a moment.
        self._fitting = threading.Lock()

    def fit_image(self, url: str, limits: ImageLimits) -> FittedImage:
        key = (blake2b(url.encode("utf-8", "replace"), digest_size=16).digest(), limits)
        if image := self._find_image(key):
            return image
        with self._fitting:
            image = self._find_image(key) or fit_image(url, limits)
        self._keep_image(key, image)
        return image

    def _find_image(self, key: tuple[bytes, ImageLimits]) -> FittedImage | None:
        with self._lock:
            if image := self._images.pop(key, None):
                self._images[key] = image  # moves to the end
        return image

    def _keep_image(self, key: tuple[bytes, ImageLimits], image: FittedImage) -> None:
        with self._lock:
            if old_image := self._images.pop(key, None):
                self._size -= len(old_image.url)
            self._images[key] = image
            self._size += len(image.url)
            while len(self._images) > MAX_CACHED or (
                self._size > MAX_CACHED_BYTES and len(self._images) > 1
            ):
                self._size -= len(self._images.pop(next(iter(self._images))).url)


_cache = ImageCache()


# The images of a request


async def fit_request_images(
    body: Json, provider: Provider, size: int = 0
) -> tuple[Json, list[str]]:
    """The request with its images fitted to the provider, and the changes, each with its path.

    `size`: bytes of its JSON. Raises LargeWorkUnavailable.
    """
    if not await run_sized(size, partial(has_images, body, provider)):
        return body, []
    return await run_in_thread(size, partial(replace_images, body, provider))


def has_images(body: Json, provider: Provider) -> bool:
    return next(request_images(body, provider), None) is not None


def replace_images(body: Json, provider: Provider) -> tuple[Json, list[str]]:
    """`fit_request_images`, in a thread. `body` itself is not changed."""
    limits = ImageLimits(provider.image_side, provider.image_bytes, provider.image_types)
    changes: list[str] = []
    # The new parts of each list of parts, by their index.
    replacements: defaultdict[tuple[str, int, str], dict[int, Json]] = defaultdict(dict)
    for fields, item_index, field, part_index, part, url in request_images(body, provider):
        image = _cache.fit_image(url, limits)
        if image.change:
            path = f"{fields.list_field}[{item_index}].{field}[{part_index}]"
            changes.append(f"{path} (image: {image.change})")
        if image.is_changed:
            new_part = replace_part(fields, part, image)
            replacements[fields.list_field, item_index, field][part_index] = new_part
    result = {**body}
    for (list_field, item_index, field), new_parts in replacements.items():
        if result[list_field] is body[list_field]:
            result[list_field] = [*body[list_field]]
        items = result[list_field]
        parts = [new_parts.get(j, part) for j, part in enumerate(items[item_index][field])]
        items[item_index] = {**items[item_index], field: parts}
    return result, changes


def replace_part(fields: ImageFields, part: Json, image: FittedImage) -> Json:
    if not image.url:
        return {"type": fields.text_part, "text": image.placeholder_text}
    image_url = part["image_url"]
    is_nested = fields.list_field == "messages" and isinstance(image_url, dict)
    return {**part, "image_url": {**image_url, "url": image.url} if is_nested else image.url}


def request_images(body: Json, provider: Provider) -> Iterator[RequestImage]:
    """The images that the provider gets as images, not as text."""
    field_has_images = {
        "content": provider.images,
        "output": provider.images and provider.output_images,
    }
    for fields in DIALECT_FIELDS:
        items = body.get(fields.list_field)
        for i, item in enumerate(items if isinstance(items, list) else []):
            for field in fields.content if isinstance(item, dict) else ():
                parts = item.get(field) if field_has_images[field] else None
                for j, part in enumerate(parts if isinstance(parts, list) else []):
                    if url := inline_image_url(part, fields):
                        yield RequestImage(fields, i, field, j, part, url)


def inline_image_url(part: Any, fields: ImageFields) -> str | None:
    """The URL of an image part; None for another part, and for a URL that the provider fetches."""
    if not isinstance(part, dict) or part.get("type") != fields.image_part:
        return None
    url = part.get("image_url")
    url = url.get("url") if isinstance(url, dict) else url
    return url if isinstance(url, str) and not url.startswith(("https://", "http://")) else None


# One image


def fit_image(url: str, limits: ImageLimits) -> FittedImage:
    """The image of a data: URL within the limits, or a text that says why it is not shown. Never
    raises."""
    claimed_type, data = UNKNOWN_TYPE, b""
    try:
        claimed_type, data = read_data_url(url)
        return fit_within_limits(url, claimed_type, data, limits)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        reason = "has too many pixels"
    except UnusableImage as error:
        reason = str(error)
    except Exception as error:  # decoders raise anything for broken data
        reason = f"cannot be read: {error}"[:200]
    text = f"[image: {claimed_type}, {len(data)} bytes, not shown: {reason}]"
    return FittedImage(placeholder_text=text, change=f"{claimed_type}, {reason}")


def read_data_url(url: str) -> tuple[str, bytes]:
    """The media type that a data: URL names, and its content; b"" for broken base64."""
    head, _, text = url.partition(",")
    if not head.lower().startswith("data:"):
        raise UnusableImage("is neither a data: nor an http(s) URL")
    media_type, *parameters = head[5:].lower().split(";")
    if not re.fullmatch(r"[\w.+-]{1,40}/[\w.+-]{1,40}", media_type):
        media_type = UNKNOWN_TYPE
    try:  # padding may be missing, and any excess is ignored
        data = base64.b64decode(text + "==") if "base64" in parameters else b""
    except binascii.Error:
        data = b""
    return media_type, data


def fit_within_limits(url: str, claimed_type: str, data: bytes, limits: ImageLimits) -> FittedImage:
    """The image with its true type if it is within the limits; otherwise smaller, or in another
    format. Raises UnusableImage, and whatever Pillow raises."""
    try:
        image = Image.open(io.BytesIO(data), formats=tuple(MEDIA_TYPES))
    except UnidentifiedImageError:
        if (true_type := heic_type(data)) in limits.media_types:
            return with_true_type(url, claimed_type, true_type, data)
        reason = f"is {true_type}, which is not taken" if true_type else "is no picture"
        raise UnusableImage(reason) from None
    true_type = (MEDIA_TYPES | MPO)[str(image.format)]
    is_animated = image.format in ANIMATED_FORMATS and getattr(image, "is_animated", False)
    is_wide = 0 < limits.max_side < max(image.size)
    is_heavy = 0 < limits.max_bytes < base64_size(data)
    if true_type in limits.media_types and not (is_animated or is_wide or is_heavy):
        image.load()  # broken data fails here, not at the provider
        return with_true_type(url, claimed_type, true_type, data)
    original = f"{true_type} {image.width}x{image.height}"
    new_type, content, (width, height) = shrink_image(image, limits, true_type != "image/jpeg")
    change = f"{original} to {new_type} {width}x{height}"
    return FittedImage(data_url(new_type, content), change=change)


def with_true_type(url: str, claimed_type: str, true_type: str, data: bytes) -> FittedImage:
    true_url = data_url(true_type, data)
    if true_url == url:
        return FittedImage()
    change = f"{claimed_type} is {true_type}" if claimed_type != true_type else ""
    return FittedImage(true_url, change=change)


def heic_type(data: bytes) -> str:
    """The type of an iPhone's image, which Pillow cannot read, by the brand in its head; "" for any
    other image."""
    brands = (b"heic", b"heix", b"hevc", b"mif1", b"msf1")
    return "image/heic" if data[4:8] == b"ftyp" and data[8:12] in brands else ""


def shrink_image(
    image: ImageFile.ImageFile, limits: ImageLimits, prefer_png: bool
) -> tuple[str, bytes, tuple[int, int]]:
    """Media type, content and size of the image's first frame, turned upright, as a PNG or JPEG,
    which all providers take."""
    side = limits.max_side or max(image.size)
    image.draft("RGB", (side, side))  # a large JPEG is decoded at half its size at once
    frame = to_common_mode(ImageOps.exif_transpose(image))
    frame.thumbnail((side, side), Image.Resampling.LANCZOS)
    data = encode_image(frame, "PNG") if prefer_png else b""
    if data and not 0 < limits.max_bytes < base64_size(data):
        return "image/png", data, frame.size
    frame = flatten_on_white(frame)
    data = encode_image(frame, "JPEG")
    while 0 < limits.max_bytes < base64_size(data) and max(frame.size) > SMALLEST_SIDE:
        longer_side = max(frame.size) * 3 // 4
        frame.thumbnail((longer_side, longer_side), Image.Resampling.LANCZOS)
        data = encode_image(frame, "JPEG")
    return "image/jpeg", data, frame.size


def to_common_mode(image: Image.Image) -> Image.Image:
    """The image in RGB, or in RGBA if it has transparency."""
    if image.mode.startswith("I"):  # 16 bits: else every grey above 255 would be white
        image = image.point(lambda value: value / 256).convert("L")
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def flatten_on_white(image: Image.Image) -> Image.Image:
    """The image without transparency, which JPEG cannot hold."""
    if image.mode != "RGBA":
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def encode_image(image: Image.Image, image_format: str) -> bytes:
    file = io.BytesIO()
    image.save(file, image_format, quality=85)
    return file.getvalue()


def base64_size(data: bytes) -> int:
    """The number of bytes that the data has in base64."""
    return (len(data) + 2) // 3 * 4


def data_url(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"
