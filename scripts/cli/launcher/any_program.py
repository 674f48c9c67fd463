"""Any program, run through a relay."""

import os
import shutil
from collections.abc import Mapping, Sequence

from ..console import print_note
from ..errors import CommandFailed
from .child_process import replace_process, run_program
from .environment import (
    authority_environment,
    base_url_environment,
    foreign_proxy,
    proxy_environment,
)
from .used_relay import UsedRelay, relay_for_program, save_authority, save_bundle

NOT_FOUND = 127  # exit status, as shells have it


def run_any_program(command: Sequence[str], port: int | None, *, by_proxy: bool) -> int:
    """Run the command; its exit status. Raises CommandFailed and NotStarted."""
    if not (path := shutil.which(command[0])):
        raise CommandFailed(
            f"there is no program {command[0]!r}", "check its name, and PATH", status=NOT_FOUND
        )
    # Without it, the relay lets Chat requests to api.openai.com pass to OpenAI.
    settings = {"openai_chat": "on"} if by_proxy else {}
    with relay_for_program(port, **settings) as relay:
        print_note(relay.summary)
        environment = program_environment(os.environ, relay, by_proxy=by_proxy)
        # Windows finds programs such as `aider.cmd` by their whole paths only.
        full_command = [path, *command[1:]]
        if not relay.is_own:
            return replace_process(full_command, environment)
        return run_program(full_command, environment)


def program_environment(
    inherited: Mapping[str, str], relay: UsedRelay, *, by_proxy: bool
) -> dict[str, str]:
    """The variables with which the program uses the relay. Raises CommandFailed."""
    if not by_proxy:
        return base_url_environment(inherited, relay.port, relay.key)
    if proxy := foreign_proxy(inherited, relay.port):
        print_note(f"mitmcodex: the relay does not use the proxy {proxy} of your environment")
    ca_file = save_authority(relay)
    bundle = save_bundle(relay, ca_file, inherited.get("SSL_CERT_FILE", ""))
    proxied = proxy_environment(inherited, relay.proxy)
    return authority_environment(proxied, ca_file, bundle)
