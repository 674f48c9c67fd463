"""The generated tables of the pages. As a program, writes them anew: options and limits, from
addons/config, and providers, from translate/providers/providers.toml."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from addons.config.config_file import builtin_providers
from addons.config.limit_settings import LimitSettings
from addons.config.settings import ADVANCED_FIELDS, SECRET_FIELDS, SETTING_FIELDS
from translate import Provider

ROOT = Path(__file__).parents[2]
GENERATED = re.compile(r"(?s)(<!-- (\w+), made by scripts/readme -->\n).*?(<!-- end -->)")
OPTION_HEAD = ("option", "default", "meaning", "example")
PROVIDER_HEAD = (
    *("provider", "name", "base URL", "key variable", "relay port", "speaks", "earlier thinking"),
    "quirks",
)
EARLIER_THINKING = {  # Provider.reasoning_back → what the table says of it
    "echo": "as it came",
    "reasoning_content": "`reasoning_content`",
    "reasoning": "`reasoning`",
    "think": "`<think>`",
    "parts": "content parts",
    "never": "stays here",
}

type Row = tuple[str, ...]


def format_table(head: Row, rows: list[Row]) -> str:
    lines = (" | ".join(cell.replace("|", "\\|") for cell in row) for row in [head, *rows])
    first, *rest = (f"| {line} |\n" for line in lines)
    return "".join([first, f"|{' --- |' * len(head)}\n", *rest])


def option_table() -> str:
    others = ADVANCED_FIELDS | LimitSettings.model_fields.keys()
    return format_table(
        OPTION_HEAD, [option_row(name) for name in SETTING_FIELDS if name not in others]
    )


def limit_table() -> str:
    return format_table(OPTION_HEAD, [option_row(name) for name in LimitSettings.model_fields])


def option_row(name: str) -> Row:
    field = SETTING_FIELDS[name]
    default: object = field.default
    if name in SECRET_FIELDS or default in ("", (), None):
        default = ""
    elif isinstance(default, bool):
        default = "on" if default else "off"
    elif type(default) is float:
        default = f"{default:g}"
    assert field.description and field.examples
    return f"`relay_{name}`", str(default), field.description, f"`{field.examples[0]}`"


def provider_table() -> str:
    providers = [provider for provider in builtin_providers().values() if provider.key_env]
    return format_table(PROVIDER_HEAD, [provider_row(provider) for provider in providers])


def provider_row(provider: Provider) -> Row:
    url = provider.base_urls[0] if provider.base_urls else f"https://{provider.hosts[0]}/…"
    thinking = EARLIER_THINKING[provider.reasoning_back]
    if provider.dialect == "responses":
        thinking = EARLIER_THINKING["echo"]
    return (
        provider.title,
        *(f"`{cell}`" for cell in (provider.name, url, provider.key_env[0])),
        *(str(provider.port or ""), provider.dialect, thinking),
        ", ".join(f"`{quirk}`" for quirk in provider.quirks),
    )


TABLES: Mapping[str, Callable[[], str]] = {
    "options": option_table,
    "limits": limit_table,
    "providers": provider_table,
}
PAGES_WITH_TABLES = {
    "addons/README.md": ["options", "limits"],
    "translate/README.md": ["providers"],
}


def with_new_tables(text: str) -> str:
    """The page's text with each of its tables generated anew."""
    return GENERATED.sub(lambda match: f"{match[1]}{TABLES[match[2]]()}{match[3]}", text)


def write_tables() -> None:
    for name in PAGES_WITH_TABLES:
        page = ROOT / name
        page.write_text(with_new_tables(page.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    write_tables()
