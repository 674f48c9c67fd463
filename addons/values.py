"""What the text of a setting must look like, and what it stands for."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from translate import QUIRKS


def base_url(text: str) -> str:
    parts = urlsplit(text)
    if not re.fullmatch(r"https?", parts.scheme) or not parts.hostname or re.search(r"\s", text):
        raise ValueError("not an http(s) URL")
    if parts.username or parts.password:
        raise ValueError("has a user name in it, which is not sent; the key goes into api_key")
    if parts.query or parts.fragment:
        raise ValueError("has a query or a fragment, to which no path can be added")
    parts.port  # noqa: B018 - raises ValueError for what is no port
    return text.rstrip("/").removesuffix("/chat/completions").rstrip("/")


def quirk_name(text: str) -> str:
    if text not in QUIRKS:
        raise ValueError(f"{text!r} is no quirk; known: {', '.join(sorted(QUIRKS))}")
    return text


def header_value(secret: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[!-~]+", secret.get_secret_value()):
        raise ValueError("has spaces or other characters that no HTTP header can carry")
    return secret


def host_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+", text):
        raise ValueError(f"{text!r} is no host name; it is given without port and brackets")
    return text.lower()


def listed(text: object) -> object:
    return [x for part in text.split(",") if (x := part.strip())] if isinstance(text, str) else text


def renames(text: object) -> object:
    found = listed(text)
    pairs = [tuple(x.split(":", 1)) for x in found] if isinstance(found, list) else found
    if isinstance(pairs, list) and not all(len(pair) == 2 and all(pair) for pair in pairs):
        raise ValueError("not a list of name:name pairs")
    return pairs


def some(values: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    if not values:
        raise ValueError("has no key in it")
    return values


OFF = "off"
REDIS = ("redis://", "rediss://", "unix://")
SQLITE = "sqlite://"


def place(text: str) -> str:
    """`off`, a URL of Redis, or the path of a file, which may be written as a URL."""
    if text.lower() == OFF:
        return OFF
    if text.startswith(REDIS):
        parts = urlsplit(text)
        parts.port  # noqa: B018 - raises ValueError for what is no port
        if not (parts.hostname or parts.scheme == "unix" and parts.path):
            raise ValueError("names no host")
        return text
    path = "/" + text.removeprefix(SQLITE).lstrip("/") if text.startswith(SQLITE) else text
    path = re.sub(r"^/(?=[A-Za-z]:)", "", path)  # sqlite:///C:/…
    if "://" in path or path.endswith(("/", "\\")):
        raise ValueError("neither a file, nor redis://…, nor off")
    return path


Url = Annotated[str, AfterValidator(base_url)]
Secret = Annotated[SecretStr, AfterValidator(header_value)]
Keys = Annotated[tuple[Secret, ...], BeforeValidator(listed), AfterValidator(some)]
Host = Annotated[str, AfterValidator(host_name)]
Quirk = Annotated[str, AfterValidator(quirk_name)]
Renames = Annotated[tuple[tuple[str, str], ...], BeforeValidator(renames)]
Seconds = Annotated[float, Field(ge=0, le=86_400)]
Place = Annotated[str, AfterValidator(place)]
