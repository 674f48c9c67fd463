"""`mitmcodex up`"""

from typing import Annotated

import typer

from ..completions import complete_provider
from ..console import print_line, print_note


def start_relay(
    flags: Annotated[
        list[str] | None,
        typer.Argument(metavar="-- FLAGS", help="Options of mitmdump or mitmweb."),
    ] = None,
    web: Annotated[bool, typer.Option("--web", help="With mitmweb's page of all traffic.")] = False,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="In the background; `mitmcodex down` ends it.")
    ] = False,
    provider: Annotated[
        str,
        typer.Option(
            help="A provider of `mitmcodex providers`, this time.", autocompletion=complete_provider
        ),
    ] = "",
    upstream: Annotated[str, typer.Option(help="Base URL of a provider, this time.")] = "",
    model: Annotated[
        str, typer.Option(help="Model for names that the provider does not list, this time.")
    ] = "",
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port; by default 8080 or the next free.")
    ] = None,
) -> None:
    """Start the relay, and say where it listens and how to start Codex.

    Examples:
      mitmcodex up                               until Ctrl-C, with a line for each exchange
      mitmcodex up --detach --web                in the background, with mitmweb's page
      mitmcodex up --provider ollama --model qwen3
      mitmcodex up -- -w flows.mitm              mitmproxy also saves all traffic
    """
    # Late, as a shell loads this module to complete its options.
    from ..relay_process.plan import provide_relay, wanted_relay
    from ..relay_process.start import REPORT_PATIENCE
    from ..start_report import relay_lines

    wanted = wanted_relay(provider, upstream, model, port, web, flags or [])
    relay, is_new = provide_relay(wanted, detach, print_note)
    if not is_new:
        print_line("The relay runs already:")
    for line in relay_lines(relay, REPORT_PATIENCE):
        print_line(line)
    if is_new:
        print_note("It runs in the background: `mitmcodex logs -f` shows its log,")
        print_note("`mitmcodex down` ends it.")
