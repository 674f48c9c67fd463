"""`mitmcodex try`"""

import sys
from typing import Annotated

import typer

from ..console import messages, output, print_json, print_note
from ..errors import CommandFailed
from ..launcher.trial_turn import TEXT, TrialTurn, run_turn, turn_summary
from ..launcher.used_relay import relay_for_program


def try_prompt(
    prompt: Annotated[str, typer.Argument(help="The question; - reads it from the input.")],
    model: Annotated[str, typer.Option(help="The model to ask for.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON at the end.")] = False,
    port: Annotated[int | None, typer.Option(help="Port of a relay that runs.")] = None,
) -> None:
    """Ask the model one question, and show time, tokens and cost.

    The answer goes to standard output, all else to standard error.

    Examples:
      mitmcodex try "Say hello"
      mitmcodex try --model kimi/kimi-k3 --json "Say hello"
    """
    question = sys.stdin.read() if prompt == "-" else prompt
    if not question.strip():
        raise CommandFailed("the question is empty", 'for example: `mitmcodex try "Say hello"`')
    on_delta = ignore_delta if as_json else DeltaPrinter().print_delta
    with relay_for_program(port) as relay:
        turn = run_turn(relay, question, model, on_delta)
    if as_json:
        print_json(turn.to_json())
    else:
        print_end(turn)
    if turn.status == "failed":
        raise typer.Exit(1)


def ignore_delta(part: str, piece: str) -> None:
    pass


class DeltaPrinter:
    """Prints the pieces of the model's text, which must not control the terminal."""

    def __init__(self) -> None:
        self._part = ""

    def print_delta(self, part: str, piece: str) -> None:
        console, style = (output, "") if part == TEXT else (messages, "dim")
        if self._part and part != self._part:
            messages.print()
        self._part = part
        text = "".join(char for char in piece if char.isprintable() or char in "\n\t")
        console.print(text, style=style, end="", markup=False, highlight=False)
        console.file.flush()


def print_end(turn: TrialTurn) -> None:
    if turn.texts[TEXT]:
        output.print()
    if turn.status == "failed":
        print_note(f"error: {turn.error}", "red")
    elif turn.status == "incomplete":
        reason = (turn.response.get("incomplete_details") or {}).get("reason")
        print_note(f"the answer is incomplete: {reason}", "yellow")
    print_note(turn_summary(turn))
