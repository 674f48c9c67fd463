"""What ends a command."""

INTERRUPTED = 130  # exit status after Ctrl-C, as shells have it
NOT_RUNNING_STATUS = 3  # exit status, as `systemctl status` has it


class CommandFailed(Exception):
    """A command cannot do what it was asked to; the next step is what the user can do about it."""

    def __init__(self, message: str, next_step: str = "", *, status: int = 1) -> None:
        super().__init__(message)
        self.message, self.next_step = message, next_step
        self.status = status  # the exit status of the process
