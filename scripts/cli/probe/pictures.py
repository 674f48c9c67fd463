"""The small picture of the image probes: blue above, yellow below."""

from base64 import b64encode
from functools import cache
from io import BytesIO

from PIL import Image

SIDE = 64  # pixels; some providers refuse pictures of less than 32
BLUE, YELLOW = (20, 60, 220), (250, 220, 20)


@cache
def picture_url(media_type: str) -> str:
    """The picture as a data URL."""
    picture = Image.new("RGB", (SIDE, SIDE), BLUE)
    picture.paste(YELLOW, (0, SIDE // 2, SIDE, SIDE))
    buffer = BytesIO()
    picture.save(buffer, media_type.rpartition("/")[2])
    return f"data:{media_type};base64,{b64encode(buffer.getvalue()).decode()}"
