"""Real pictures on their way to a provider that does not take all of them as they are."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw, ImageFile

from addons.exchange import images as picture
from addons.exchange import request_images as images
from addons.exchange.images import Fitted, Limits, fitting
from tests.addons.exchange.test_addon import answered, relay, said, says
from tests.addons.proxy import bounded
from tests.strict_chat import Rules, refusal
from tests.translate.support import PLAIN, Json, provider

LIMITS = Limits(2048, 5_000_000, frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"}))


def painted(width: int = 8, height: int = 6, mode: str = "RGB") -> Image.Image:
    """White, with a left upper corner in another colour, so that turning it is seen."""
    made = Image.new("RGB", (width, height), "white")
    ImageDraw.Draw(made).rectangle((0, 0, width // 2, height // 2), "red")
    return made.convert(mode)


def written(made: Image.Image, form: str = "PNG", **how: Any) -> bytes:
    file = io.BytesIO()
    made.save(file, form, **how)
    return file.getvalue()


def url(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def opened(made: Fitted) -> ImageFile.ImageFile:
    """The picture that goes up, which is what it says it is."""
    head, _, text = made.url.partition(",")
    found = Image.open(io.BytesIO(base64.b64decode(text, validate=True)))
    assert head == f"data:{found.get_format_mimetype()};base64"
    found.load()
    return found


def noise(width: int, height: int, mode: str = "RGB") -> Image.Image:
    return Image.effect_noise((width, height), 80).convert(mode)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP"])
def test_picture_within_the_limits_goes_as_it_is(form: str) -> None:
    assert fitting(url(written(painted(), form), f"image/{form.lower()}"), LIMITS) == Fitted()


def test_phones_jpeg_with_a_second_picture_is_a_jpeg() -> None:
    data = written(painted(), "MPO", save_all=True, append_images=[painted(4, 4)])
    assert Image.open(io.BytesIO(data)).format == "MPO"
    assert fitting(url(data, "image/jpeg"), LIMITS) == Fitted()
    assert opened(fitting(url(data), LIMITS._replace(side=4))).size == (4, 3)


def test_wide_picture_is_scaled_to_the_longer_side() -> None:
    made = fitting(url(written(painted(3000, 1000))), LIMITS)
    assert opened(made).size == (2048, 683)
    assert made.done == "image/png 3000x1000 to image/png 2048x683"


def test_zero_is_no_limit() -> None:
    large = url(written(painted(3000, 10)))
    assert fitting(large, LIMITS._replace(side=0, size=0)) == Fitted()
    bitmap = url(written(painted(3000, 10), "BMP"), "image/bmp")
    assert opened(fitting(bitmap, LIMITS._replace(side=0, size=0))).size == (3000, 10)


def test_heavy_drawing_becomes_a_photograph_and_shrinks_until_it_fits() -> None:
    limits = LIMITS._replace(size=60_000)
    made = fitting(url(written(noise(500, 500))), limits)
    found = opened(made)
    assert found.format == "JPEG" and max(found.size) < 500
    assert len(made.url.partition(",")[2]) <= 60_000


def test_shrinking_ends_though_nothing_can_fit() -> None:
    made = fitting(url(written(noise(500, 500))), LIMITS._replace(size=10))
    assert picture.SMALLEST // 2 < max(opened(made).size) <= picture.SMALLEST


def test_photograph_is_scaled_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: to be turned by a quarter, as phones write it
    data = written(painted(3000, 1000), "JPEG", exif=exif)
    found = opened(fitting(url(data, "image/jpeg"), LIMITS))
    assert found.size == (683, 2048)
    red, white = found.getpixel((600, 100)), found.getpixel((100, 1900))
    assert isinstance(red, tuple) and isinstance(white, tuple)
    assert red[1] < 60 and min(white) > 200  # the corner has moved to the right
    assert found.getexif().get(0x0112, 1) == 1


@pytest.mark.parametrize("form", ["BMP", "TIFF", "AVIF", "ICO", "PPM", "JPEG2000"])
def test_format_that_is_not_taken_becomes_another(form: str) -> None:
    size = (32, 32)
    made = fitting(url(written(painted(*size), form), "image/x-any"), LIMITS)
    assert opened(made).size == size
    assert made.done.endswith(" to image/png 32x32")


def test_format_is_kept_where_this_provider_takes_it() -> None:
    limits = LIMITS._replace(types=LIMITS.types | {"image/bmp"})
    assert fitting(url(written(painted(), "BMP"), "image/bmp"), limits) == Fitted()


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG"])
def test_moving_picture_is_its_first_frame(form: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    data = written(frames[0], form, save_all=True, append_images=frames[1:], lossless=True)
    found = opened(fitting(url(data, f"image/{form.lower()}"), LIMITS))
    assert (found.format, found.convert("RGB").getpixel((4, 4))) == ("PNG", (255, 0, 0))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_every_mode_is_scaled(mode: str) -> None:
    form = "TIFF" if mode == "CMYK" else "PNG"
    source = Image.new(mode, (100, 50), 40_000 if mode == "I;16" else 0)
    for size in (5_000_000, 700):  # as PNG, as JPEG
        made = fitting(url(written(source, form)), LIMITS._replace(side=64, size=size))
        assert opened(made).size == (64, 32)


def test_transparent_ground_is_white_in_a_photograph() -> None:
    mixed = noise(200, 200, "RGBA")
    mixed.paste((0, 0, 0, 0), (0, 0, 200, 100))
    found = opened(fitting(url(written(mixed)), LIMITS._replace(size=20_000)))
    corner = found.getpixel((5, 5))
    assert found.format == "JPEG" and isinstance(corner, tuple) and min(corner) > 240


def test_deep_greys_stay_grey() -> None:
    data = written(Image.new("I;16", (100, 100), 40_000))
    assert opened(fitting(url(data), LIMITS._replace(side=50))).getpixel((5, 5)) == (156,) * 3


@pytest.mark.parametrize(
    "head", ["image/jpeg", "image/PNG", "application/octet-stream", "", "nonsense"]
)
def test_wrong_type_is_put_right(head: str) -> None:
    data = written(painted())
    made = fitting(url(data, head), LIMITS)
    assert made.url == url(data)
    assert bool(made.done) == (head != "image/PNG")


def test_sloppy_base64_is_written_anew() -> None:
    data = written(painted())
    text = base64.encodebytes(data).decode().rstrip("=\n")  # lines, and no padding
    made = fitting(f"DATA:image/png;base64,{text}", LIMITS)
    assert (made.url, made.done) == (url(data), "")


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (url(b"<html>no picture</html>"), "is no picture"),
        (url(b"<svg/>", "image/svg+xml"), "is no picture"),
        (url(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), "is no picture"),
        ("data:image/png,plain", "is no picture"),
        ("data:image/png;base64,", "is no picture"),
        ("data:image/png;base64,A", "is no picture"),
        ("data:", "is no picture"),
        ("file:///etc/passwd", "is neither a data: nor an http(s) URL"),
        ("", "is neither a data: nor an http(s) URL"),
        (url(written(noise(60, 60))[:-2000]), "cannot be read: "),
        (url(b"\0\0\0\x18ftypheic" + bytes(99), "image/heic"), "is image/heic, which is not taken"),
    ],
)
def test_what_is_no_picture_becomes_words(bad: str, why: str) -> None:
    made = fitting(bad, LIMITS)
    assert not made.url and made.words.startswith("[image: ")
    assert f"not shown: {why}" in made.words and why in made.done


def test_what_only_this_provider_can_read_goes_as_it_is() -> None:
    data = b"\0\0\0\x18ftypheic" + bytes(99)
    limits = LIMITS._replace(types=LIMITS.types | {"image/heic"})
    assert fitting(url(data, "image/heic"), limits) == Fitted()
    assert fitting(url(data, "image/png"), limits).url == url(data, "image/heic")


@pytest.mark.parametrize("size", [(10_000, 10_000), (20_000, 10_000)])
def test_decompression_bomb_is_not_opened(size: tuple[int, int]) -> None:
    data = written(Image.new("1", size))
    assert len(data) < 100_000
    assert "has too many pixels" in fitting(url(data), LIMITS).words


def message(*parts: Json) -> Json:
    return {"type": "message", "role": "user", "content": list(parts)}


def image(where: str) -> Json:
    return {"type": "input_image", "image_url": where, "detail": "high"}


def test_only_pictures_are_touched_and_the_request_is_not_changed_in_place() -> None:
    large, fine = url(written(painted(3000, 10))), url(written(painted()))
    odd: list[Any] = [5, {"type": "message"}, message({"type": "input_text", "text": large})]
    odd += [message(5, {"type": "input_image"}, {"type": "input_image", "file_id": "f"})]  # type: ignore[arg-type]  # what clients may send
    body = {"input": [*odd, message(image("https://a.example/b.png"), image(fine), image(large))]}
    before = json.dumps(body)
    made, lost = images.fit(body, PLAIN)
    assert json.dumps(body) == before
    assert lost == ["input[4].content[2] (image: image/png 3000x10 to image/png 2048x7)"]
    assert made["input"][:4] == odd
    [remote, same, scaled] = made["input"][4]["content"]
    assert (remote, same) == tuple(body["input"][4]["content"][:2])
    assert scaled["detail"] == "high" and scaled["image_url"] != large


def test_url_in_chats_own_spelling() -> None:
    part = {"type": "input_image", "image_url": {"url": url(written(painted()), "image/jpeg")}}
    made, [told] = images.fit({"input": [message(part)]}, PLAIN)
    assert made["input"][0]["content"][0]["image_url"] == url(written(painted()))
    assert told == "input[0].content[0] (image: image/jpeg is image/png)"


@pytest.mark.parametrize(
    ("fields", "places"),
    [
        ({}, ["content", "output"]),
        ({"output_images": False}, ["content"]),
        ({"images": False}, []),
    ],
)
def test_nothing_is_worked_on_that_would_not_go_up(fields: Json, places: list[str]) -> None:
    bad = image(url(b"x"))
    body = {"input": [message(bad), {"type": "function_call_output", "output": [bad]}]}
    found = [found.field for found in images.pictures(body, provider(**fields))]
    assert found == places


@pytest.mark.parametrize("body", [{}, {"input": "Hello."}, {"input": None}, {"input": [message()]}])
@bounded
async def test_request_without_pictures_is_the_same_object(body: Json) -> None:
    made, lost = await images.fitted(body, PLAIN)
    assert made is body and lost == []


def test_picture_is_worked_on_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the count is ours; the work is real."""
    asked: list[str] = []

    def counted(where: str, limits: Limits) -> Fitted:
        asked.append(where)
        return fitting(where, limits)

    monkeypatch.setattr(images, "fitting", counted)
    monkeypatch.setattr(images, "_cache", {})
    large, bad = url(written(painted(3000, 10))), url(b"x")
    body = {"input": [message(image(large), image(bad), image(large))]}
    first = images.fit(body, PLAIN)
    assert images.fit(body, PLAIN) == first
    assert asked == [large, bad]
    images.fit(body, provider(image_side=100))
    assert asked == [large, bad, large, bad]


@pytest.mark.parametrize(("name", "value"), [("KEPT", 3), ("KEPT_BYTES", 1_000)])
def test_cache_is_bounded(name: str, value: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, name, value)
    monkeypatch.setattr(images, "_cache", cache := {})
    sent = [url(written(painted(8 + number)), "image/jpeg") for number in range(9)]
    for where in sent:
        images.kept(where, LIMITS)
    assert len(cache) < 9
    assert images.kept(sent[-1], LIMITS) == fitting(sent[-1], LIMITS)


# through the relay


@bounded
async def test_pictures_are_fit_when_they_reach_the_provider() -> None:
    bitmap, large = written(painted(), "BMP"), written(painted(3000, 2000), "JPEG")
    calls = [
        {"type": "function_call", "name": "look", "arguments": "{}", "call_id": "c"},
        {
            "type": "function_call_output",
            "call_id": "c",
            "output": [image(url(large, "image/png")), image(url(b"no"))],
        },
    ]
    async with relay(says(), says()) as (above, port):
        for _ in range(2):
            asked = [message(image(url(bitmap, "image/bmp"))), *calls]
            answer = await answered(port, input=asked)
            assert said(answer) == "Hi."
            told = answer.headers["x-relay-dropped"]
            assert "input[0].content[0] (image: image/bmp 8x6 to image/png 8x6)" in told
            assert "input[2].output[0] (image: image/jpeg 3000x2000 to image/jpeg 2048x" in told
            assert "input[2].output[1] (image: image/png, is no picture)" in told
        first, second = (call.body for call in above.seen)
    assert first == second  # to the byte: the provider has the conversation in its cache
    fault = refusal(json.loads(first), Rules())
    assert fault is None, fault
    assert b"[image: image/png, 2 bytes, not shown: is no picture]" in first


@bounded
async def test_switch_for_pictures_in_outputs(tmp_path: Path) -> None:
    file = tmp_path / "relay.toml"
    file.write_text("[providers.generic]\noutput_images = false")
    shown = url(written(painted(4, 4)))
    calls = [
        {"type": "function_call", "name": "look", "arguments": "{}", "call_id": "c"},
        {"type": "function_call_output", "call_id": "c", "output": [image(shown)]},
    ]
    async with relay(says(), relay_config=str(file)) as (above, port):
        answer = await answered(port, input=[message(image(shown)), *calls])
    assert said(answer) == "Hi."
    [call] = above.seen
    asked, _, output = json.loads(call.body)["messages"]
    assert asked["content"][0]["image_url"]["url"] == shown
    assert output["content"].startswith("[image: image/png, ")
    assert answer.headers["x-relay-dropped"] == "input[2].output (image_url)"
