"""Every setting of the relay. The fields of `Settings` are the only table: option names, variable
names, messages and the README's list are made from it."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from pydantic import ValidationError as Invalid

from translate import QUIRKS, Provider, providers

ENV, OPTION = "CODEX_RELAY_", "relay_"


@cache
def known() -> dict[str, Provider]:
    """The providers of providers.toml, by name."""
    file = Path(__file__).parents[1] / "translate" / "providers.toml"
    return providers(file.read_text("utf-8"))


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


def provider_name(text: str, info: Any) -> str:
    if text not in known():
        raise ValueError(f"unknown provider; known: {', '.join(sorted(known()))}")
    if text != "demo" and not known()[text].base_urls and not info.data.get("upstream", "?"):
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


Url = Annotated[str, AfterValidator(base_url)]
Secret = Annotated[SecretStr, AfterValidator(header_value)]
Name = Annotated[str, AfterValidator(provider_name)]
Keys = Annotated[tuple[Secret, ...], BeforeValidator(listed), AfterValidator(some)]
Host = Annotated[str, AfterValidator(host_name)]
Quirk = Annotated[str, AfterValidator(quirk_name)]
Renames = Annotated[tuple[tuple[str, str], ...], BeforeValidator(renames)]
Seconds = Annotated[float, Field(ge=0, le=86_400)]


class Settings(BaseModel):
    """Every setting. Values come as text; an empty text is the default."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    upstream: Url = Field(
        "",
        description="Base URL of the Chat Completions provider, as its SDKs take it.",
        examples=["https://api.deepseek.com/v1"],
    )
    api_key: Secret = Field(
        SecretStr(""),
        description="The provider's key; else its usual variable is read.",
        examples=["sk-…"],
    )
    provider: Name = Field(
        "",
        description="The provider's table in providers.toml, where the URL does not tell.",
        examples=["deepseek"],
    )
    model: str = Field(
        "",
        description="Model used for names that the upstream does not list.",
        examples=["deepseek-chat"],
    )
    model_map: Renames = Field(
        (),
        description="Renames on the way up, first match wins; `*` stands for any text.",
        examples=["gpt-5.5:deepseek-chat,gpt-6*:deepseek-reasoner"],
    )
    port: Annotated[int, Field(ge=1, le=65_535)] | None = Field(
        None, description="One more port to listen on, at 127.0.0.1.", examples=["4444"]
    )
    isolate: bool = Field(
        True,
        description="Answer Codex's other calls to api.openai.com and chatgpt.com here.",
        examples=["off"],
    )
    client_key: Keys = Field(
        (),
        description="Keys, one of which clients must send as Bearer. Opens the port to clients "
        "on other machines.",
        examples=["a-long-random-text"],
    )
    hosts: Annotated[tuple[Host, ...], BeforeValidator(listed)] = Field(
        (),
        description="Host names beside the loopback ones under which our port answers.",
        examples=["relay.lan,192.168.1.5"],
    )
    quirks_off: Annotated[tuple[Quirk, ...], BeforeValidator(listed)] = Field(
        (),
        description="Quirks not to be used with any provider.",
        examples=["dsml_calls,tagged_calls"],
    )
    heartbeat: Seconds = Field(
        5.0, description="Seconds of silence until a client gets a sign of life.", examples=["5"]
    )
    timeout: Annotated[Seconds, Field(gt=0)] = Field(
        300.0, description="Seconds that the upstream may be silent.", examples=["300"]
    )
    retries: Annotated[int, Field(ge=0, le=100)] = Field(
        3, description="How often a failed request is sent again.", examples=["3"]
    )
    retry_budget: Seconds = Field(
        60.0, description="Seconds in which these attempts may start.", examples=["60"]
    )
    models_ttl: Seconds = Field(
        300.0, description="Seconds that the upstream's model list is kept.", examples=["300"]
    )


FIELDS = Settings.model_fields
OPTIONS = {OPTION + field: field for field in FIELDS}
VARIABLES = {ENV + field.upper(): field for field in FIELDS}
SECRETS = frozenset({"api_key", "client_key"})


class Wrong(ValueError):
    """Settings that cannot be: one line each in `args`."""


def read(options: Mapping[str, str | None], environment: Mapping[str, str]) -> Settings:
    """Option before variable before default; both by their full names. Raises Wrong."""
    texts: dict[str, str] = {}
    origin: dict[str, str] = {}
    for names, source in ((VARIABLES, environment), (OPTIONS, options)):
        for name, field in names.items():
            if (text := source.get(name)) is not None:
                texts[field], origin[field] = text.strip(), name
    try:
        return Settings.model_validate({field: text for field, text in texts.items() if text})
    except Invalid as error:
        faults = {str(fault["loc"][0]): fault["msg"] for fault in reversed(error.errors())}
        raise Wrong(
            *(complaint(field, origin[field], texts[field], why) for field, why in faults.items())
        ) from None


def complaint(field: str, name: str, text: str, why: str) -> str:
    shown = "(hidden)" if field in SECRETS else repr(re.sub(r"//[^/]*@", "//(hidden)@", text))
    why = re.sub(r"^(Value error, |Input )", "", why)
    return f"{name} is {shown}: {why}; for example {name}={FIELDS[field].examples[0]}"  # type: ignore[index]  # every field has one, a test sees to it


def unknown(names: Iterable[str], valid: Iterable[str]) -> Iterator[str]:
    """A line for each name that looks like a setting's and is none."""
    valid = sorted(valid)
    for name in sorted(set(names).difference(valid)):
        near = difflib.get_close_matches(name, valid, 1, 0.75)
        yield f"{name} is unknown: " + (f"did you mean {near[0]}?" if near else "remove it")
