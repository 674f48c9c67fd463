"""`mitmcodex completion`"""

from enum import StrEnum
from typing import Annotated

import typer
from typer.completion import get_completion_script  # type: ignore[attr-defined]  # no `__all__`

from ..console import print_line


class CompletedShell(StrEnum):
    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"
    POWERSHELL = "powershell"


def print_completion(shell: Annotated[CompletedShell, typer.Argument(help="Your shell.")]) -> None:
    """Print the script with which a shell completes our commands.

    It completes options and the names of providers, too.

    Examples, for the shell's own start file:
      eval "$(mitmcodex completion bash)"                               ~/.bashrc
      eval "$(mitmcodex completion zsh)"                                ~/.zshrc, after compinit
      mitmcodex completion fish | source                                ~/.config/fish/config.fish
      mitmcodex completion powershell | Out-String | Invoke-Expression  $PROFILE
    """
    script = get_completion_script(
        prog_name="mitmcodex", complete_var="_MITMCODEX_COMPLETE", shell=shell.value
    )
    print_line(script)
