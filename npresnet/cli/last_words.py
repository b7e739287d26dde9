"""A message for the case that the process ends at once, where no code of its own runs any more."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator

from npresnet.system.text import visible

# A byte comes if all went well; else the pipe closes with the process.
WATCH = "import sys; sys.stdin.buffer.read(1) or print(sys.argv[1], file=sys.stderr)"


@contextlib.contextmanager
def last_words(message: str) -> Iterator[None]:
    """Print `message` on stderr if this process ends inside the block: killed, or by a library that exits.

    A child process waits for that, in a session of its own, so that Ctrl+C and the terminal's end do not reach it. A
    frozen program cannot start one, and does without.
    """
    if getattr(sys, "frozen", False):
        yield
        return
    words = f"npresnet: {visible(message)}"
    command = [sys.executable, "-I", "-S", "-c", WATCH, words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True) as child:
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # somebody has killed it
                child.communicate(b".")
