"""What ends a command."""


class CommandFailed(Exception):
    """A command cannot do what it was asked to; the next step is what the user can do about it."""

    def __init__(self, message: str, next_step: str = "", *, status: int = 1) -> None:
        super().__init__(message)
        self.message, self.next_step = message, next_step
        self.status = status  # the exit status of the process
