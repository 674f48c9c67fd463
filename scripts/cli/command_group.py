"""The commands as a group that loads a command's module when the command is used, and help that is
printed as it is written.

Loading all modules takes most of a second, and a shell would do so for each TAB."""

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

COMMANDS_FOLDER = Path(__file__).with_name("commands")
# Typer's own options, which change files of the shell; `mitmcodex completion` is there instead.
CONCEALED_OPTIONS = ("install_completion", "show_completion")


class CommandPlace(NamedTuple):
    """Where a command is, without loading it."""

    panel: str  # heading in the help
    place: str  # `module:name`, in the package `commands`; a function or a typer.Typer
    context_settings: Mapping[str, Any] = {}

    def summary(self) -> str:
        """The first line of the command's help, read from its source."""
        module, _, name = self.place.partition(":")
        return read_summary((COMMANDS_FOLDER / f"{module}.py").read_text("utf-8"), name)

    def load_command(self, command_name: str) -> Any:
        module, _, name = self.place.partition(":")
        target = getattr(import_module(f"{__package__}.commands.{module}"), name)
        if isinstance(target, typer.Typer):
            for info in target.registered_commands:
                info.cls = PlainCommand
            target.info.cls, target.info.name = PlainGroup, command_name
            target._add_completion = False
            return get_command(target)
        holder = typer.Typer(add_completion=False)
        settings = dict(self.context_settings)
        holder.command(command_name, cls=PlainCommand, context_settings=settings)(target)
        return get_command(holder)


def read_summary(source: str, name: str) -> str:
    """The first line of the docstring of this function, or of the `help` of this typer.Typer.

    Raises ValueError if there is neither."""
    for node in ast.parse(source).body:
        match node:
            case ast.FunctionDef(name=other) if other == name:
                return (ast.get_docstring(node) or "").partition("\n")[0]
            case ast.Assign(targets=[ast.Name(id=other)], value=ast.Call(keywords=keywords)):
                texts = [word.value for word in keywords if word.arg == "help"]
                if other == name and texts:
                    return str(ast.literal_eval(texts[0])).partition("\n")[0]
    raise ValueError(f"there is no {name!r} with a help")


class LazyCommands(Mapping[str, Any]):
    """Name → command, which is loaded when it is looked up."""

    def __init__(self, places: Mapping[str, CommandPlace]) -> None:
        self.places = places

    def __getitem__(self, name: str) -> Any:
        return self.places[name].load_command(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)


def wrap_help(text: str, columns: int) -> str:
    """The text with its paragraphs wrapped; indented lines, such as examples, stay as they are."""
    lines, paragraph = list[str](), list[str]()
    for line in [*inspect.cleandoc(text).splitlines(), ""]:
        if line and not line.startswith(" "):
            paragraph.append(line)
            continue
        lines += textwrap.wrap(" ".join(paragraph), columns)
        lines.append(line)
        paragraph.clear()
    return "\n".join(lines).rstrip()


class PlainCommand(TyperCommand):
    """Its help has no frames."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **{**settings, "rich_markup_mode": None})

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        formatter.write(f"\n{wrap_help(self.help or '', formatter.width)}\n")


class PlainGroup(TyperGroup):
    """Its help has no frames."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **{**settings, "rich_markup_mode": None})

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        formatter.write(f"\n{wrap_help(self.help or '', formatter.width)}\n")


def lazy_group(places: Mapping[str, CommandPlace], panels: Sequence[str]) -> type[TyperGroup]:
    """The class of the group with these commands, which its help shows under these headings."""

    class LazyGroup(PlainGroup):
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            super().__init__(*arguments, **settings)
            commands: Any = LazyCommands(places)
            self.commands = commands

        def list_commands(self, ctx: Any) -> list[str]:
            return list(places)

        def format_options(self, ctx: Any, formatter: Any) -> None:
            width = max(map(len, places))
            for panel in panels:
                formatter.write(f"\n{panel}:\n")
                for name, place in places.items():
                    if place.panel == panel:
                        formatter.write(f"  {name:<{width}}  {place.summary()}\n")
            options = [o for o in self.get_params(ctx) if o.name not in CONCEALED_OPTIONS]
            names = ", ".join(name for option in options for name in option.opts)
            formatter.write(f"\nOptions: {names}\n")

        def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
            outline = [PlainCommand(name, help=place.summary()) for name, place in places.items()]
            return TyperGroup(commands=outline, params=self.params).shell_complete(ctx, incomplete)

    return LazyGroup
