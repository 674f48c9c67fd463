"""One picture as a provider takes it: within its limits, in its formats, of the type that it says
it is. What is no picture becomes words, as one bad part poisons a whole session
(openai/codex#5346)."""

import base64
import binascii
import io
import re
import warnings
from dataclasses import dataclass
from typing import NamedTuple

from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

# What is opened at all, by Pillow's name of the format.
TYPES = {
    "AVIF": "image/avif", "BMP": "image/bmp", "GIF": "image/gif", "ICO": "image/x-icon",
    "JPEG": "image/jpeg", "JPEG2000": "image/jp2", "PNG": "image/png",
    "PPM": "image/x-portable-anymap", "TIFF": "image/tiff", "WEBP": "image/webp",
}  # fmt: skip
MPO = {"MPO": "image/jpeg"}  # a phone's JPEG with further pictures behind the first
MOVING = ("GIF", "PNG", "WEBP")  # "non-animated GIF": developers.openai.com images-vision guide
SMALLEST = 64  # pixels; a picture of too many bytes shrinks no further

# Pillow only warns of 90 to 180 million pixels; what is larger it refuses itself.
warnings.simplefilter("error", Image.DecompressionBombWarning)


class Limits(NamedTuple):
    side: int  # pixels; 0: any
    size: int  # bytes in base64; 0: any
    types: frozenset[str]


@dataclass(frozen=True)
class Fitted:
    url: str = ""  # what goes up instead
    words: str = ""  # or these
    done: str = ""  # what is told of it

    @property
    def changed(self) -> bool:
        return bool(self.url or self.words)


class Unfit(ValueError):
    """No picture that could be sent."""


def fitting(url: str, limits: Limits) -> Fitted:
    """The picture of a data: URL. Never raises."""
    said, data = "unknown type", b""
    try:
        said, data = read(url)
        return within(url, said, data, limits)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        why = "has too many pixels"
    except Unfit as unfit:
        why = str(unfit)
    except Exception as error:  # decoders raise what they like for broken data
        why = f"cannot be read: {error}"[:200]
    words = f"[image: {said}, {len(data)} bytes, not shown: {why}]"
    return Fitted(words=words, done=f"{said}, {why}")


def read(url: str) -> tuple[str, bytes]:
    """The media type that a data: URL says, and its content."""
    head, _, text = url.partition(",")
    if not head.lower().startswith("data:"):
        raise Unfit("is neither a data: nor an http(s) URL")
    said, *more = head[5:].lower().split(";")
    said = said if re.fullmatch(r"[\w.+-]{1,40}/[\w.+-]{1,40}", said) else "unknown type"
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4)) if "base64" in more else b""
    except binascii.Error:
        data = b""
    return said, data


def within(url: str, said: str, data: bytes, limits: Limits) -> Fitted:
    """As it came if it keeps the limits, with its true type; else smaller, or in another format."""
    try:
        picture = Image.open(io.BytesIO(data), formats=tuple(TYPES))
    except UnidentifiedImageError:
        if (kind := heic(data)) in limits.types:
            return named(url, said, kind, data)
        raise Unfit(f"is {kind}, which is not taken" if kind else "is no picture") from None
    kind = (TYPES | MPO)[str(picture.format)]
    moves = picture.format in MOVING and getattr(picture, "is_animated", False)
    large = 0 < limits.side < max(picture.size) or 0 < limits.size < encoded(data)
    if kind in limits.types and not moves and not large:
        picture.load()  # what is cut off or broken is found here, not by the provider
        return named(url, said, kind, data)
    before = f"{kind} {picture.width}x{picture.height}"
    new, made, size = smaller(picture, limits, kind != "image/jpeg")
    return Fitted(data_url(new, made), done=f"{before} to {new} {size[0]}x{size[1]}")


def named(url: str, said: str, kind: str, data: bytes) -> Fitted:
    right = data_url(kind, data)
    if right == url:
        return Fitted()
    return Fitted(right, done=f"{said} is {kind}" if said != kind else "")


def heic(data: bytes) -> str:
    """The type of what iPhones write, which Pillow cannot read, by the brand in its head."""
    brands = (b"heic", b"heix", b"hevc", b"mif1", b"msf1")
    return "image/heic" if data[4:8] == b"ftyp" and data[8:12] in brands else ""


def smaller(
    picture: ImageFile.ImageFile, limits: Limits, painted: bool
) -> tuple[str, bytes, tuple[int, int]]:
    """(type, content, size) of its first frame, upright, in a type that all providers take."""
    side = limits.side or max(picture.size)
    picture.draft("RGB", (side, side))  # a large JPEG is read at half its size at once
    made = plain(ImageOps.exif_transpose(picture))
    made.thumbnail((side, side), Image.Resampling.LANCZOS)
    data = written(made, "PNG") if painted else b""
    if data and not 0 < limits.size < encoded(data):
        return "image/png", data, made.size
    made = flat(made)
    data = written(made, "JPEG")
    while 0 < limits.size < encoded(data) and max(made.size) > SMALLEST:
        made.thumbnail((made.width * 3 // 4, made.height * 3 // 4), Image.Resampling.LANCZOS)
        data = written(made, "JPEG")
    return "image/jpeg", data, made.size


def plain(picture: Image.Image) -> Image.Image:
    """In a mode that PNG and JPEG can hold."""
    if picture.mode.startswith("I"):  # 16 bits: else every grey above 255 would be white
        picture = picture.point(lambda value: value / 256).convert("L")
    return picture.convert("RGBA" if picture.has_transparency_data else "RGB")


def flat(picture: Image.Image) -> Image.Image:
    """On white, as JPEG knows no transparency."""
    if picture.mode != "RGBA":
        return picture
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")


def written(picture: Image.Image, form: str) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, quality=85)
    return file.getvalue()


def encoded(data: bytes) -> int:
    """Bytes in base64."""
    return (len(data) + 2) // 3 * 4


def data_url(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
