"""`mitmcodex providers`"""

import os
from typing import Annotated, Any

import typer

from addons.config import additional_providers, available_providers, current_settings
from translate import Provider

from ..console import print_json, print_note
from ..tables import Column, print_table
from ..user_target import user_target

COLUMNS = (
    *(Column("name"), Column("title"), Column("URL"), Column("key")),
    *(Column("port", is_number=True), Column("keys at")),
)


def show_providers(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the providers that the relay knows.

    `*` marks yours. Any other server works by its URL; `mitmcodex setup` asks for it.

    Example: mitmcodex providers
    """
    main_name = user_target().provider.name  # it puts the user's settings in force
    chosen = {main_name, *additional_providers()}
    providers = available_providers().values()
    rows = [provider_row(each) for each in providers if each.name in chosen or has_address(each)]
    if as_json:
        print_json([{**row, "chosen": row["name"] in chosen} for row in rows])
        return
    print_table(
        COLUMNS,
        [
            (
                f"{row['name']}{' *' if row['name'] in chosen else ''}",
                row["title"],
                row["url"],
                key_text(row),
                str(row["port"] or ""),
                row["keys_page"],
            )
            for row in rows
        ],
    )
    print_note("`mitmcodex models NAME` asks a provider for its models.")


def has_address(provider: Provider) -> bool:
    """Whether it is a service or a server, and no table for those that have none of their own."""
    return bool(provider.base_urls or provider.key_env)


def provider_row(provider: Provider) -> dict[str, Any]:
    ports = dict(current_settings().ports)
    return {
        "name": provider.name,
        "title": provider.title,
        "url": next(iter(provider.base_urls), ""),
        "dialect": provider.dialect,
        "key_variables": list(provider.key_env),
        "key": key_state(provider),
        "port": ports.get(provider.name) or provider.port,
        "keys_page": provider.keys_page,
    }


def key_text(row: dict[str, Any]) -> str:
    """`DEEPSEEK_API_KEY (set)`"""
    if not row["key_variables"]:
        return "login" if row["key"] == "login" else "none"
    state = " (set)" if row["key"] == "set" else ""
    return f"{' or '.join(row['key_variables'][:2])}{state}"


def key_state(provider: Provider) -> str:
    if provider.accounts:
        return "login"
    if not provider.key_env:
        return "none"
    return (
        "set" if any(os.environ.get(name, "").strip() for name in provider.key_env) else "missing"
    )
