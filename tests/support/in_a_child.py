"""Tests marked `in_a_child` run in a separate process: a kernel with a planted fault may write anywhere.

The test's fixtures are made before the process is forked; what the test raises is raised again here, and a process that
a signal ended is a failure.
"""

from __future__ import annotations

import os
import pickle
import signal
import traceback
from collections.abc import Callable

import pytest


def run(test: Callable[[], object]) -> None:
    """Call `test` in a forked process; where processes cannot be forked, here."""
    if not hasattr(os, "fork"):
        test()
        return
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reads)
        _tell(writes, test)  # never returns
    os.close(writes)
    with os.fdopen(reads, "rb") as pipe:
        told = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) or not told:
        ended = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else f"exit code {status >> 8}"
        pytest.fail(f"the test's process was ended by {ended}", pytrace=False)
    outcome, text = pickle.loads(told)
    if outcome == "skipped":
        pytest.skip(text)
    elif outcome == "failed":
        pytest.fail(text, pytrace=False)


def _tell(writes: int, test: Callable[[], object]) -> None:
    """Run the test, write its outcome, and end this process immediately."""
    try:
        test()
        told = ("passed", "")
    except pytest.skip.Exception as reason:
        told = ("skipped", str(reason))
    except BaseException:
        told = ("failed", traceback.format_exc())
    with os.fdopen(writes, "wb") as pipe:
        pipe.write(pickle.dumps(told))
    os._exit(0)
