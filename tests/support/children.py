"""Children: the exit codes of forked ones, without waiting forever; programs that find no torch."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.support.checkout import REPOSITORY

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


@pytest.fixture
def no_torch_in_children(monkeypatch, tmp_path_factory) -> None:
    """Python programs that a test starts find no torch, whose import takes seconds: for what is not about torch."""
    folder: Path = tmp_path_factory.mktemp("no-torch")
    (folder / "sitecustomize.py").write_text("import sys\nsys.modules['torch'] = None\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), str(REPOSITORY)]))
