"""Real images on their way to a provider that does not take all of them as they are."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw, ImageFile

from addons.exchange import images
from addons.exchange.images import (
    FittedImage,
    ImageCache,
    ImageLimits,
    fit_image,
    fit_request_images,
    request_images,
)
from tests.addons.exchange.test_addon import ask_once, completed_text, relay, says
from tests.addons.proxy import bounded
from tests.strict_chat import Rules, body_fault
from tests.translate.support import GENERIC, Json, provider

LIMITS = ImageLimits(
    2048, 5_000_000, frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
)


def sample_image(width: int = 8, height: int = 6, mode: str = "RGB") -> Image.Image:
    """White, with the upper left corner in another colour, so that rotation shows."""
    source = Image.new("RGB", (width, height), "white")
    ImageDraw.Draw(source).rectangle((0, 0, width // 2, height // 2), "red")
    return source.convert(mode)


def image_bytes(source: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    source.save(file, form, **options)
    return file.getvalue()


def image_url(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def decode_fitted(fitted: FittedImage) -> ImageFile.ImageFile:
    """The image that goes up, which is of the type that its URL names."""
    head, _, text = fitted.url.partition(",")
    image_file = Image.open(io.BytesIO(base64.b64decode(text, validate=True)))
    assert head == f"data:{image_file.get_format_mimetype()};base64"
    image_file.load()
    return image_file


def noise(width: int, height: int, mode: str = "RGB") -> Image.Image:
    return Image.effect_noise((width, height), 80).convert(mode)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP"])
def test_picture_within_the_limits_goes_as_it_is(form: str) -> None:
    assert (
        fit_image(image_url(image_bytes(sample_image(), form), f"image/{form.lower()}"), LIMITS)
        == FittedImage()
    )


def test_phones_jpeg_with_a_second_picture_is_a_jpeg() -> None:
    data = image_bytes(sample_image(), "MPO", save_all=True, append_images=[sample_image(4, 4)])
    assert Image.open(io.BytesIO(data)).format == "MPO"
    assert fit_image(image_url(data, "image/jpeg"), LIMITS) == FittedImage()
    assert decode_fitted(fit_image(image_url(data), LIMITS._replace(max_side=4))).size == (4, 3)


def test_wide_picture_is_scaled_to_the_longer_side() -> None:
    fitted = fit_image(image_url(image_bytes(sample_image(3000, 1000))), LIMITS)
    assert decode_fitted(fitted).size == (2048, 683)
    assert fitted.change == "image/png 3000x1000 to image/png 2048x683"


def test_zero_is_no_limit() -> None:
    large = image_url(image_bytes(sample_image(3000, 10)))
    assert fit_image(large, LIMITS._replace(max_side=0, max_bytes=0)) == FittedImage()
    bitmap = image_url(image_bytes(sample_image(3000, 10), "BMP"), "image/bmp")
    assert decode_fitted(fit_image(bitmap, LIMITS._replace(max_side=0, max_bytes=0))).size == (
        3000,
        10,
    )


def test_heavy_drawing_becomes_a_photograph_and_shrinks_until_it_fits() -> None:
    limits = LIMITS._replace(max_bytes=60_000)
    fitted = fit_image(image_url(image_bytes(noise(500, 500))), limits)
    image_file = decode_fitted(fitted)
    assert image_file.format == "JPEG" and max(image_file.size) < 500
    assert len(fitted.url.partition(",")[2]) <= 60_000


@pytest.mark.parametrize("height", [500, 1])
def test_shrinking_ends_though_nothing_can_fit(height: int) -> None:
    fitted = fit_image(image_url(image_bytes(noise(500, height))), LIMITS._replace(max_bytes=10))
    assert images.SMALLEST_SIDE // 2 < max(decode_fitted(fitted).size) <= images.SMALLEST_SIDE


def test_photograph_is_scaled_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: to be turned by a quarter, as phones write it
    data = image_bytes(sample_image(3000, 1000), "JPEG", exif=exif)
    image_file = decode_fitted(fit_image(image_url(data, "image/jpeg"), LIMITS))
    assert image_file.size == (683, 2048)
    red, white = image_file.getpixel((600, 100)), image_file.getpixel((100, 1900))
    assert isinstance(red, tuple) and isinstance(white, tuple)
    assert red[1] < 60 and min(white) > 200  # the corner has moved to the right
    assert image_file.getexif().get(0x0112, 1) == 1


@pytest.mark.parametrize("form", ["BMP", "TIFF", "AVIF", "ICO", "PPM", "JPEG2000"])
def test_format_that_is_not_taken_becomes_another(form: str) -> None:
    size = (32, 32)
    fitted = fit_image(image_url(image_bytes(sample_image(*size), form), "image/x-any"), LIMITS)
    assert decode_fitted(fitted).size == size
    assert fitted.change.endswith(" to image/png 32x32")


def test_format_is_kept_where_this_provider_takes_it() -> None:
    limits = LIMITS._replace(media_types=LIMITS.media_types | {"image/bmp"})
    assert (
        fit_image(image_url(image_bytes(sample_image(), "BMP"), "image/bmp"), limits)
        == FittedImage()
    )


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG"])
def test_moving_picture_is_its_first_frame(form: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    data = image_bytes(frames[0], form, save_all=True, append_images=frames[1:], lossless=True)
    image_file = decode_fitted(fit_image(image_url(data, f"image/{form.lower()}"), LIMITS))
    assert (image_file.format, image_file.convert("RGB").getpixel((4, 4))) == ("PNG", (255, 0, 0))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_every_mode_is_scaled(mode: str) -> None:
    form = "TIFF" if mode == "CMYK" else "PNG"
    source = Image.new(mode, (100, 50), 40_000 if mode == "I;16" else 0)
    for size in (5_000_000, 700):  # as PNG, as JPEG
        fitted = fit_image(
            image_url(image_bytes(source, form)), LIMITS._replace(max_side=64, max_bytes=size)
        )
        assert decode_fitted(fitted).size == (64, 32)


def test_transparent_ground_is_white_in_a_photograph() -> None:
    mixed = noise(200, 200, "RGBA")
    mixed.paste((0, 0, 0, 0), (0, 0, 200, 100))
    image_file = decode_fitted(
        fit_image(image_url(image_bytes(mixed)), LIMITS._replace(max_bytes=20_000))
    )
    corner = image_file.getpixel((5, 5))
    assert image_file.format == "JPEG" and isinstance(corner, tuple) and min(corner) > 240


def test_deep_greys_stay_grey() -> None:
    data = image_bytes(Image.new("I;16", (100, 100), 40_000))
    assert (
        decode_fitted(fit_image(image_url(data), LIMITS._replace(max_side=50))).getpixel((5, 5))
        == (156,) * 3
    )


@pytest.mark.parametrize(
    "head", ["image/jpeg", "image/PNG", "application/octet-stream", "", "nonsense"]
)
def test_wrong_type_is_put_right(head: str) -> None:
    data = image_bytes(sample_image())
    fitted = fit_image(image_url(data, head), LIMITS)
    assert fitted.url == image_url(data)
    assert bool(fitted.change) == (head != "image/PNG")


@pytest.mark.parametrize("extra_bytes", range(6))
def test_sloppy_base64_is_written_anew(extra_bytes: int) -> None:
    data = image_bytes(sample_image()) + bytes(extra_bytes)
    text = base64.encodebytes(data).decode().rstrip("=\n")  # lines, and no padding
    fitted = fit_image(f"DATA:image/png;base64,{text}", LIMITS)
    assert (fitted.url, fitted.change) == (image_url(data), "")


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (image_url(b"<html>no picture</html>"), "is no picture"),
        (image_url(b"<svg/>", "image/svg+xml"), "is no picture"),
        (image_url(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), "is no picture"),
        ("data:image/png,plain", "is no picture"),
        ("data:image/png;base64,", "is no picture"),
        ("data:image/png;base64,A", "is no picture"),
        ("data:", "is no picture"),
        ("file:///etc/passwd", "is neither a data: nor an http(s) URL"),
        ("", "is neither a data: nor an http(s) URL"),
        (image_url(image_bytes(noise(60, 60))[:-2000]), "cannot be read: "),
        (
            image_url(b"\0\0\0\x18ftypheic" + bytes(99), "image/heic"),
            "is image/heic, which is not taken",
        ),
    ],
)
def test_content_that_is_no_image_becomes_text(bad: str, reason: str) -> None:
    fitted = fit_image(bad, LIMITS)
    assert not fitted.url and fitted.placeholder_text.startswith("[image: ")
    assert f"not shown: {reason}" in fitted.placeholder_text and reason in fitted.change


def test_format_that_only_this_provider_can_read_is_sent_unchanged() -> None:
    data = b"\0\0\0\x18ftypheic" + bytes(99)
    limits = LIMITS._replace(media_types=LIMITS.media_types | {"image/heic"})
    assert fit_image(image_url(data, "image/heic"), limits) == FittedImage()
    assert fit_image(image_url(data, "image/png"), limits).url == image_url(data, "image/heic")


@pytest.mark.parametrize("size", [(10_000, 10_000), (20_000, 10_000)])
def test_decompression_bomb_is_not_opened(size: tuple[int, int]) -> None:
    data = image_bytes(Image.new("1", size))
    assert len(data) < 100_000
    assert "has too many pixels" in fit_image(image_url(data), LIMITS).placeholder_text


def message(*parts: Json) -> Json:
    return {"type": "message", "role": "user", "content": list(parts)}


def image(url: str) -> Json:
    return {"type": "input_image", "image_url": url, "detail": "high"}


def test_only_images_are_replaced_and_the_request_is_not_changed_in_place() -> None:
    large, fine = (
        image_url(image_bytes(sample_image(3000, 10))),
        image_url(image_bytes(sample_image())),
    )
    odd: list[Any] = [5, {"type": "message"}, message({"type": "input_text", "text": large})]
    odd += [message(5, {"type": "input_image"}, {"type": "input_image", "file_id": "f"})]  # type: ignore[arg-type]  # what clients may send
    body = {"input": [*odd, message(image("https://a.example/b.png"), image(fine), image(large))]}
    original = json.dumps(body)
    fitted, changes = images.replace_images(body, GENERIC)
    assert json.dumps(body) == original
    assert changes == ["input[4].content[2] (image: image/png 3000x10 to image/png 2048x7)"]
    assert fitted["input"][:4] == odd
    [remote, same, scaled] = fitted["input"][4]["content"]
    assert (remote, same) == tuple(body["input"][4]["content"][:2])
    assert scaled["detail"] == "high" and scaled["image_url"] != large


def test_url_in_chats_own_spelling() -> None:
    part = {
        "type": "input_image",
        "image_url": {"url": image_url(image_bytes(sample_image()), "image/jpeg")},
    }
    fitted, [change] = images.replace_images({"input": [message(part)]}, GENERIC)
    assert fitted["input"][0]["content"][0]["image_url"] == image_url(image_bytes(sample_image()))
    assert change == "input[0].content[0] (image: image/jpeg is image/png)"


@pytest.mark.parametrize(
    ("fields", "image_fields"),
    [
        ({}, ["content", "output"]),
        ({"output_images": False}, ["content"]),
        ({"images": False}, []),
    ],
)
def test_only_images_that_the_provider_gets_are_processed(
    fields: Json, image_fields: list[str]
) -> None:
    bad = image(image_url(b"x"))
    body = {"input": [message(bad), {"type": "function_call_output", "output": [bad]}]}
    sent_images = request_images(body, provider(**fields))
    assert [each.field for each in sent_images] == image_fields


@pytest.mark.parametrize("body", [{}, {"input": "Hello."}, {"input": None}, {"input": [message()]}])
@bounded
async def test_request_without_pictures_is_the_same_object(body: Json) -> None:
    fitted, changes = await fit_request_images(body, GENERIC)
    assert fitted is body and changes == []


def test_image_is_fitted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The images are really fitted; the calls are only recorded."""
    fitted_urls: list[str] = []

    def fit_and_record(url: str, limits: ImageLimits) -> FittedImage:
        fitted_urls.append(url)
        return fit_image(url, limits)

    monkeypatch.setattr(images, "fit_image", fit_and_record)
    monkeypatch.setattr(images, "_cache", ImageCache())
    large, bad = image_url(image_bytes(sample_image(3000, 10))), image_url(b"x")
    body = {"input": [message(image(large), image(bad), image(large))]}
    first = images.replace_images(body, GENERIC)
    assert images.replace_images(body, GENERIC) == first
    assert fitted_urls == [large, bad]
    images.replace_images(body, provider(image_side=100))
    assert fitted_urls == [large, bad, large, bad]


@pytest.mark.parametrize(("name", "value"), [("MAX_CACHED", 3), ("MAX_CACHED_BYTES", 1_000)])
def test_cache_is_bounded(name: str, value: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, name, value)
    cache = ImageCache()
    urls = [image_url(image_bytes(sample_image(8 + number)), "image/jpeg") for number in range(9)]
    for url in urls:
        cache.fit_image(url, LIMITS)
    assert 1 <= len(cache._images) < 9
    assert cache._size == sum(len(cached.url) for cached in cache._images.values())
    assert cache.fit_image(urls[-1], LIMITS) == fit_image(urls[-1], LIMITS)


# Through the relay


@bounded
async def test_pictures_are_fit_when_they_reach_the_provider() -> None:
    bitmap, large = (
        image_bytes(sample_image(), "BMP"),
        image_bytes(sample_image(3000, 2000), "JPEG"),
    )
    calls = [
        {"type": "function_call", "name": "look", "arguments": "{}", "call_id": "c"},
        {
            "type": "function_call_output",
            "call_id": "c",
            "output": [image(image_url(large, "image/png")), image(image_url(b"no"))],
        },
    ]
    async with relay(says(), says()) as (above, port):
        for _ in range(2):
            items = [message(image(image_url(bitmap, "image/bmp"))), *calls]
            answer = await ask_once(port, input=items)
            assert completed_text(answer) == "Hi."
            dropped = answer.headers["x-relay-dropped"]
            assert "input[0].content[0] (image: image/bmp 8x6 to image/png 8x6)" in dropped
            assert "input[2].output[0] (image: image/jpeg 3000x2000 to image/jpeg 2048x" in dropped
            assert "input[2].output[1] (image: image/png, is no picture)" in dropped
        first, second = (call.body for call in above.seen)
    assert first == second  # to the byte: the provider has the conversation in its cache
    fault = body_fault(json.loads(first), Rules())
    assert fault is None, fault
    assert b"[image: image/png, 2 bytes, not shown: is no picture]" in first


@bounded
async def test_switch_for_pictures_in_outputs(tmp_path: Path) -> None:
    file = tmp_path / "relay.toml"
    file.write_text("[providers.generic]\noutput_images = false")
    small_url = image_url(image_bytes(sample_image(4, 4)))
    calls = [
        {"type": "function_call", "name": "look", "arguments": "{}", "call_id": "c"},
        {"type": "function_call_output", "call_id": "c", "output": [image(small_url)]},
    ]
    async with relay(says(), relay_config=str(file)) as (above, port):
        answer = await ask_once(port, input=[message(image(small_url)), *calls])
    assert completed_text(answer) == "Hi."
    [call] = above.seen
    prompt, _, output = json.loads(call.body)["messages"]
    assert prompt["content"][0]["image_url"]["url"] == small_url
    assert output["content"].startswith("[image: image/png, ")
    assert answer.headers["x-relay-dropped"] == "input[2].output (image_url)"
