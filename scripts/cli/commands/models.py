"""`mitmcodex models`"""

from dataclasses import asdict
from typing import Annotated

import typer

from ..console import print_json, print_note
from ..listings.model_list import COLUMNS, provider_models, relay_models
from ..running_relay import find_running_relay
from ..tables import print_table
from ..user_target import DEMO


def show_models(
    provider: Annotated[str, typer.Argument(help="Ask this provider directly.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    port: Annotated[int | None, typer.Option(help="Port of the relay.")] = None,
) -> None:
    """List the models: of the running relay, else of your provider.

    The window is in tokens; an empty price is unknown.

    Examples:
      mitmcodex models
      mitmcodex models kimi --json
    """
    relay = None if provider else find_running_relay(port)
    models = relay_models(relay) if relay else provider_models(provider)
    if as_json:
        print_json([asdict(model) for model in models])
        return
    print_table(COLUMNS, [model.cells() for model in models])
    if {model.provider for model in models} == {DEMO}:
        print_note("This is the demonstration: choose a provider with `mitmcodex setup`.")
