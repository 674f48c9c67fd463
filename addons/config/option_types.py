"""The types of settings: how each is read from text or TOML, and which values are valid."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo

from addons.system_keyring import KeyringUnavailable, read_password
from translate import QUIRKS, Provider, did_you_mean

STORE_OFF = "off"
KEYRING_PREFIX = "keyring:"  # of a key that is in the system's keyring; the entry's name follows
REDIS_SCHEMES = ("redis://", "rediss://", "unix://")
SQLITE_SCHEME = "sqlite://"
CLIENT_NAME = re.compile(r"[A-Za-z0-9_.-]{1,40}")
CLIENT_NAME_RULE = "1 to 40 letters, digits, dots, dashes and underscores"
NAMED_KEY = re.compile(rf"({CLIENT_NAME.pattern}):(.+)")
AMOUNT = re.compile(r"([\d.]+)\s*([A-Za-z]*)")


# Single values


def validate_base_url(text: str) -> str:
    parts = urlsplit(text)
    if not re.fullmatch(r"https?", parts.scheme) or not parts.hostname or re.search(r"\s", text):
        raise ValueError("not an http(s) URL")
    if parts.username or parts.password:
        raise ValueError("has a user name in it, which is not sent; the key goes into api_key")
    if parts.query or parts.fragment:
        raise ValueError("has a query or a fragment, to which no path can be added")
    parts.port  # noqa: B018 - raises ValueError for an invalid port
    return text.rstrip("/").removesuffix("/chat/completions").rstrip("/")


def providers_in_context(info: ValidationInfo) -> dict[str, Provider]:
    """The providers that a setting may name, by name: the context of the validation."""
    providers: dict[str, Provider] = info.context or {}
    return providers


def validate_provider_name(text: str, info: ValidationInfo) -> str:
    providers = providers_in_context(info)
    if text not in providers:
        hint = did_you_mean(text, providers) or f"there are {', '.join(sorted(providers))}"
        raise ValueError(f"there is no provider {text!r}: {hint}")
    return text


def validate_reachable_provider(text: str, info: ValidationInfo) -> str:
    """Accept a provider that has a base URL of its own, and any provider if `upstream` is set."""
    if text == "demo":
        return text
    provider = providers_in_context(info)[validate_provider_name(text, info)]
    if not provider.base_urls and not info.data.get("upstream", "?"):
        raise ValueError("has no URL of its own: relay_upstream must say where it is")
    return text


def validate_quirk_name(text: str) -> str:
    if text not in QUIRKS:
        hint = did_you_mean(text, QUIRKS) or f"there are {', '.join(sorted(QUIRKS))}"
        raise ValueError(f"there is no quirk {text!r}: {hint}")
    return text


def validate_header_value(secret: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[!-~]+", secret.get_secret_value()):
        raise ValueError("has spaces or other characters that no HTTP header can carry")
    return secret


def resolve_keyring_entry(secret: SecretStr) -> SecretStr:
    """`keyring:NAME` → the password with this name in the system's keyring; any other key stays."""
    text = secret.get_secret_value()
    if not text.startswith(KEYRING_PREFIX):
        return secret
    name = text.removeprefix(KEYRING_PREFIX).strip()
    try:
        password = read_password(name)
    except KeyringUnavailable as unavailable:
        raise ValueError(
            f"the system's keyring, which has the key {name!r}, {unavailable}: unlock it, or write "
            "the key itself here"
        ) from None
    if not password:
        raise ValueError(
            f"the system's keyring has no key {name!r}: run `mitmcodex setup` again, or write the "
            "key itself here"
        )
    return SecretStr(password)


def validate_host_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+", text):
        raise ValueError(f"{text!r} is not a host name; write it without port and brackets")
    return text.lower()


def validate_path(text: str) -> str:
    """A path of a file or folder, with `~` and `~user` replaced by their folders."""
    if "\0" in text:
        raise ValueError("has a null byte in it, and names no file")
    try:
        return str(Path(text).expanduser()) if text else ""
    except RuntimeError:
        user = re.split(r"[/\\]", text, maxsplit=1)[0]
        raise ValueError(f"there is no user {user.removeprefix('~')!r} with a folder") from None


def validate_record_folder(text: str, info: ValidationInfo) -> str:
    """The folder; "" while the relay writes nothing."""
    return "" if info.data.get("private") else validate_path(text)


def validate_store_location(text: str, info: ValidationInfo) -> str:
    """Accept `off`, a Redis URL, or the path of a file, which may have the form sqlite:///…

    While the relay writes nothing, every valid location means `off`."""
    location = parse_store_location(text)
    return STORE_OFF if info.data.get("private") else location


def parse_store_location(text: str) -> str:
    if text.lower() == STORE_OFF:
        return STORE_OFF
    if text.startswith(REDIS_SCHEMES):
        parts = urlsplit(text)
        parts.port  # noqa: B018 - raises ValueError for an invalid port
        if not (parts.hostname or parts.scheme == "unix" and parts.path):
            raise ValueError("names no host")
        return text
    has_scheme = text.startswith(SQLITE_SCHEME)
    path = "/" + text.removeprefix(SQLITE_SCHEME).lstrip("/") if has_scheme else text
    path = re.sub(r"^/(?=[A-Za-z]:)", "", path)  # sqlite:///C:/…
    if "://" in path or path.endswith(("/", "\\")):
        raise ValueError("neither a file, nor redis://…, nor off")
    return validate_path(path)


# Lists and tables


def setting_text(value: Any) -> str:
    """A value from Python, YAML or TOML as text, in the form that the functions below read."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, Mapping):
        return ",".join(f"{name}:{alternatives_text(entry)}" for name, entry in value.items())
    return ",".join(map(setting_text, value)) if isinstance(value, list | tuple) else str(value)


def alternatives_text(value: Any) -> str:
    return "|".join(map(str, value)) if isinstance(value, list | tuple) else setting_text(value)


def split_list(text: object, separator: str = ",") -> object:
    """`a,b` → ["a", "b"]; a value that is not text stays as it is."""
    if not isinstance(text, str):
        return text
    return [stripped for part in text.split(separator) if (stripped := part.strip())]


def split_alternatives(text: object) -> object:
    """`a|b` → ["a", "b"]; a value that is not text stays as it is."""
    return split_list(text, "|")


def parse_pairs(value: object) -> object:
    """`name:value,…`, or a table in relay.toml → a list of pairs."""
    if isinstance(value, dict):
        return list(value.items())
    entries = split_list(value)
    if not isinstance(entries, list):
        return entries
    pairs = [tuple(part.strip() for part in str(entry).split(":", 1)) for entry in entries]
    if not all(len(pair) == 2 and all(pair) for pair in pairs):
        raise ValueError("not a list of name:value pairs")
    return pairs


def parse_ports(value: object, info: ValidationInfo) -> object:
    """`provider,provider:port,…`, or a table in relay.toml → pairs of a name and a port."""
    entries = split_list(value)
    if isinstance(entries, list):
        entries = {str(x).partition(":")[0]: str(x).partition(":")[2] for x in entries}
    if not isinstance(entries, dict):
        return entries
    ports = [(name, provider_port(name, port, info)) for name, port in entries.items()]
    if len({port for _, port in ports}) < len(ports):
        raise ValueError("two providers on one port")
    return ports


def provider_port(name: str, port: object, info: ValidationInfo) -> int:
    """The port that the user set, else the provider's own."""
    validate_reachable_provider(name, info)
    text = str(port or providers_in_context(info)[name].port or "")
    if not text:
        raise ValueError(f"{name} has no port of its own; say {name}:4460, or any other")
    if not text.isdigit():
        raise ValueError(f"{text!r} is not a port")
    return int(text)


class ClientKey(NamedTuple):
    """A key that clients may send."""

    name: str  # the client's name in the records of exchanges; "" for a key without a name
    secret: SecretStr


def parse_client_keys(value: object) -> object:
    """`key,name:key,…`, or a table in relay.toml → pairs of a name and a key."""
    if isinstance(value, dict):
        return list(value.items())
    entries = split_list(value)
    if not isinstance(entries, list):
        return entries
    matches = [(entry, NAMED_KEY.fullmatch(str(entry))) for entry in entries]
    return [(match[1], match[2]) if match else ("", entry) for entry, match in matches]


def validate_client_keys(keys: tuple[ClientKey, ...]) -> tuple[ClientKey, ...]:
    if not keys:
        raise ValueError("has no key in it")
    for key in keys:
        validate_header_value(key.secret)
        if key.name and not CLIENT_NAME.fullmatch(key.name):
            raise ValueError(f"{key.name!r} is not the name of a client: {CLIENT_NAME_RULE}")
    return keys


# Limits, such as 500,40MB: amounts with their units


def parse_limits(units: Mapping[str, str]) -> Callable[[object], object]:
    """A validator that reads amounts in any order, each with one of these units.

    `units`: unit → field of the limits; the unit "" is a plain number."""
    words = " nor ".join(
        f"a number of {field.replace('_', ' ')}" + (f" ({unit})" if unit else "")
        for unit, field in units.items()
    )
    fields = {unit.lower(): field for unit, field in units.items()}

    def read_limits(value: object) -> object:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        entries = split_list(str(value) if is_number else value)
        if not isinstance(entries, list):
            return entries
        limits: dict[str, str] = {}
        for entry in entries:
            match = AMOUNT.fullmatch(str(entry))
            field = fields.get(match[2].lower()) if match else None
            if match is None or field is None:
                raise ValueError(f"{entry!r} is neither {words}")
            if field in limits:
                raise ValueError(f"says the {field.replace('_', ' ')} twice")
            limits[field] = match[1]
        return limits

    return read_limits


def amount_units(value: object) -> set[str]:
    """The units of the amounts in a value, in lower case; entries that are no amounts are left
    out."""
    entries = setting_text(value).split(",")
    return {match[2].lower() for entry in entries if (match := AMOUNT.fullmatch(entry.strip()))}


def plain_number(value: object) -> str:
    """A number in any form that `float` reads, as digits: `1e2` → `100`.

    Raises ValueError for infinite and negative numbers, and what is no number."""
    try:
        number = float(setting_text(value))
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise ValueError("neither 0 nor a positive number")
    return str(int(number)) if number.is_integer() else f"{Decimal(str(number)):f}"


@dataclass(frozen=True)
class ViewLimits:
    """How many ended exchanges mitmweb and the console keep; both limits apply."""

    exchanges: Annotated[int, Field(ge=2)] = 500
    megabytes: Annotated[int, Field(ge=1)] = 40

    def __str__(self) -> str:
        return f"{self.exchanges},{self.megabytes}MB"


@dataclass(frozen=True)
class RetryLimits:
    """How often a failed request is sent again, and how long."""

    further_attempts: Annotated[int, Field(ge=0, le=100)] = 3
    seconds: Annotated[float, Field(ge=0, le=86_400)] = 60.0  # from the request to the last attempt

    def __str__(self) -> str:
        return f"{self.further_attempts},{self.seconds:g}s"


@dataclass(frozen=True)
class StoreLimits:
    """How long an unused conversation is stored, and how much space all may take together."""

    days: Annotated[float, Field(gt=0, le=36_500)] = 30.0
    megabytes: Annotated[float, Field(gt=0, le=1_000_000)] = 256.0

    def __str__(self) -> str:
        return f"{self.days:g}d,{self.megabytes:g}MB"


Role = Literal["subagent", "compaction", "review", "title"]
AccountStrategy = Literal["selected", "least_used", "round_robin", "sticky"]
BaseUrl = Annotated[str, AfterValidator(validate_base_url)]
ProviderKey = Annotated[
    SecretStr, AfterValidator(resolve_keyring_entry), AfterValidator(validate_header_value)
]
ProviderName = Annotated[str, AfterValidator(validate_reachable_provider)]
ClientKeys = Annotated[
    tuple[ClientKey, ...], BeforeValidator(parse_client_keys), AfterValidator(validate_client_keys)
]
HostNames = Annotated[
    tuple[Annotated[str, AfterValidator(validate_host_name)], ...], BeforeValidator(split_list)
]
QuirkNames = Annotated[
    tuple[Annotated[str, AfterValidator(validate_quirk_name)], ...], BeforeValidator(split_list)
]
ToolNames = Annotated[tuple[str, ...], BeforeValidator(split_list)]
ModelNames = Annotated[tuple[str, ...], BeforeValidator(split_alternatives), Field(min_length=1)]
ModelMap = Annotated[tuple[tuple[str, ModelNames], ...], BeforeValidator(parse_pairs)]
RoleMap = Annotated[tuple[tuple[Role, ModelNames], ...], BeforeValidator(parse_pairs)]
PortNumber = Annotated[int, Field(ge=1, le=65_535)]
ProviderPorts = Annotated[tuple[tuple[str, PortNumber], ...], BeforeValidator(parse_ports)]
Seconds = Annotated[float, Field(ge=0, le=86_400)]
FilePath = Annotated[str, AfterValidator(validate_path)]
# The default is validated as well, as it depends on `private`.
RecordFolder = Annotated[str, AfterValidator(validate_record_folder), Field(validate_default=True)]
StoreLocation = Annotated[
    str, AfterValidator(validate_store_location), Field(validate_default=True)
]
ViewLimit = Annotated[
    ViewLimits, BeforeValidator(parse_limits({"": "exchanges", "MB": "megabytes"}))
]
RetryLimit = Annotated[
    RetryLimits, BeforeValidator(parse_limits({"": "further_attempts", "s": "seconds"}))
]
StoreLimit = Annotated[StoreLimits, BeforeValidator(parse_limits({"d": "days", "MB": "megabytes"}))]
