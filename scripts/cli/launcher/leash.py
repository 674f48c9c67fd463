"""Run a program as long as this one's standard input is open: `python leash.py PROGRAM ARGS…`

The other end of the input is in the process that has started it. When that one ends, however it
does, the program is ended as well. It stands alone, so that it takes little memory."""

import contextlib
import subprocess
import sys
import threading

END_TIMEOUT = 2.0  # s that the program has to end


def main(command: list[str]) -> int:
    program = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    threading.Thread(target=end_with_input, args=[program], daemon=True).start()
    return program.wait()


def end_with_input(program: "subprocess.Popen[bytes]") -> None:
    sys.stdin.buffer.read()
    program.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        program.wait(END_TIMEOUT)
    program.kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
