"""`mitmcodex config show`, `write` and `undo`"""

from typing import Annotated

import typer

from ..codex_config.changes import undo_block, write_block
from ..codex_config.forms import ConfigForm
from ..codex_config.plan import ConfigPlan, config_path, plan_block
from ..codex_config.record import load_record
from ..console import print_json, print_line, print_note, short_path
from ..errors import CommandFailed

config_commands = typer.Typer(
    help="Let plain `codex` use the relay, by Codex's config.toml.",
    no_args_is_help=True,
)

BaseUrl = Annotated[
    bool, typer.Option("--base-url", help="Set openai_base_url: Codex keeps its own provider.")
]
ProviderTable = Annotated[
    bool, typer.Option("--provider-table", help="Add a provider: Codex needs no login.")
]
Model = Annotated[str, typer.Option(help="The model that Codex begins with.")]
Port = Annotated[
    int | None, typer.Option(min=1, max=65535, help="The relay's port, if it does not run yet.")
]


@config_commands.command("show")
def show_block(
    base_url: BaseUrl = False,
    provider_table: ProviderTable = False,
    model: Model = "",
    port: Port = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the lines, and change nothing.

    Examples:
      mitmcodex config show
      mitmcodex config show --provider-table --model deepseek-chat
    """
    plan = plan_block(wanted_form(base_url, provider_table), model, port)
    is_written = load_record(plan.path) is not None
    if as_json:
        fields = {"path": str(plan.path), "form": plan.form, "written": is_written}
        print_json({**fields, "text": plan.block})
        return
    print_note(f"For {plan.path} ({'written' if is_written else 'not written yet'}):")
    print_line(plan.block.rstrip())
    print_plan_notes(plan)


@config_commands.command("write")
def write_config_block(
    base_url: BaseUrl = False,
    provider_table: ProviderTable = False,
    model: Model = "",
    port: Port = None,
) -> None:
    """Write the lines into config.toml. `mitmcodex config undo` takes them back.

    Comments, order and all other settings stay as they are, and the file as it was is kept.

    Examples:
      mitmcodex config write
      mitmcodex config write --provider-table --model deepseek-chat
    """
    plan = plan_block(wanted_form(base_url, provider_table), model, port)
    record = write_block(plan.path, plan.block)
    if record is None:
        print_line(f"{plan.path} has these lines already.")
    else:
        place = short_path(plan.path)
        print_line(f"Wrote the relay's lines into {place}: `codex` now uses the relay.")
        if record.before is not None:
            print_note(f"The file as it was: {record.backup}")
    print_plan_notes(plan)
    print_note("Take them back with `mitmcodex config undo`.")


@config_commands.command("undo")
def undo_config_block() -> None:
    """Take the lines of `config write` out of config.toml again.

    What you have changed elsewhere in the file since stays.
    """
    path = config_path()
    if undo_block(path):
        print_line(f"{path} is without the relay's lines again.")
    else:
        print_line(f"mitmcodex has written nothing into {path}.")


def wanted_form(base_url: bool, provider_table: bool) -> ConfigForm | None:
    """The form that the flags name. Raises CommandFailed if they name both."""
    if base_url and provider_table:
        raise CommandFailed("--base-url and --provider-table exclude one another", "pass one")
    if base_url:
        return ConfigForm.BASE_URL
    return ConfigForm.PROVIDER if provider_table else None


def print_plan_notes(plan: ConfigPlan) -> None:
    for note in plan.notes:
        print_note(note)
