"""Forked children: their exit codes, without waiting forever."""

from __future__ import annotations

import os
import signal
import time

PATIENCE_S = 60


def exit_code(child: int) -> int | None:
    """A forked child's exit code; None for one that hangs, which is killed."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None
