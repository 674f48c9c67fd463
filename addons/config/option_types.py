"""What the values of settings may be; as text, or as TOML has them."""

import re
from typing import Annotated, Literal, NamedTuple
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo

from translate import QUIRKS, Provider


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


def known(info: ValidationInfo) -> dict[str, Provider]:
    """The providers among which a setting may choose."""
    found: dict[str, Provider] = info.context or {}
    return found


def provider_name(text: str, info: ValidationInfo) -> str:
    if text not in known(info):
        raise ValueError(f"unknown provider; known: {', '.join(sorted(known(info)))}")
    return text


def reachable(text: str, info: ValidationInfo) -> str:
    """A provider that can be reached: at its own URL, or at that of the upstream."""
    homeless = text != "demo" and not known(info)[provider_name(text, info)].base_urls
    if homeless and not info.data.get("upstream", "?"):
        raise ValueError("lives at no place of its own: relay_upstream must say where it is")
    return text


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


def pairs(value: object) -> object:
    """`name:value,…`, or a table in relay.toml."""
    if isinstance(value, dict):
        return list(value.items())
    found = listed(value)
    if not isinstance(found, list):
        return found
    made = [tuple(str(one).split(":", 1)) for one in found]
    if not all(len(pair) == 2 and all(pair) for pair in made):
        raise ValueError("not a list of name:value pairs")
    return made


def either(value: object) -> object:
    """`one|other`, or a list in relay.toml."""
    return (
        [x for part in value.split("|") if (x := part.strip())] if isinstance(value, str) else value
    )


def ports(value: object, info: ValidationInfo) -> object:
    """Names of providers, each with a port of its own or `name:port`."""
    found = listed(value)
    if isinstance(found, list):
        found = {str(x).partition(":")[0]: str(x).partition(":")[2] for x in found}
    if not isinstance(found, dict):
        return found
    made: list[tuple[str, int]] = []
    for name, port in found.items():
        reachable(name, info)
        chosen = str(port or known(info)[name].port or "")
        if not chosen:
            raise ValueError(f"{name} has no port of its own; say {name}:4460, or any other")
        if not chosen.isdigit():
            raise ValueError(f"{chosen!r} is no port")
        made.append((name, int(chosen)))
    if len({port for _, port in made}) < len(made):
        raise ValueError("two providers on one port")
    return made


class ClientKey(NamedTuple):
    """What lets a client in, and the name under which its exchanges are told."""

    name: str
    secret: SecretStr


NAMED = re.compile(r"([A-Za-z0-9_.-]{1,40}):(.+)")


def client_keys(value: object) -> object:
    """`key,name:key,…`, or a table of names in relay.toml."""
    if isinstance(value, dict):
        return list(value.items())
    found = listed(value)
    if not isinstance(found, list):
        return found
    named = [(text, NAMED.fullmatch(str(text))) for text in found]
    return [(match[1], match[2]) if match else ("", text) for text, match in named]


def some(values: tuple[ClientKey, ...]) -> tuple[ClientKey, ...]:
    if not values:
        raise ValueError("has no key in it")
    for one in values:
        header_value(one.secret)
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


Role = Literal["subagent", "compaction", "review", "title"]
Url = Annotated[str, AfterValidator(base_url)]
Secret = Annotated[SecretStr, AfterValidator(header_value)]
Name = Annotated[str, AfterValidator(reachable)]
Keys = Annotated[tuple[ClientKey, ...], BeforeValidator(client_keys), AfterValidator(some)]
Host = Annotated[str, AfterValidator(host_name)]
Quirk = Annotated[str, AfterValidator(quirk_name)]
Models = Annotated[tuple[str, ...], BeforeValidator(either), Field(min_length=1)]
Renames = Annotated[tuple[tuple[str, Models], ...], BeforeValidator(pairs)]
Roles = Annotated[tuple[tuple[Role, Models], ...], BeforeValidator(pairs)]
Port = Annotated[int, Field(ge=1, le=65_535)]
Ports = Annotated[tuple[tuple[str, Port], ...], BeforeValidator(ports)]
Words = Annotated[tuple[str, ...], BeforeValidator(listed)]
Seconds = Annotated[float, Field(ge=0, le=86_400)]
Place = Annotated[str, AfterValidator(place)]
