"""Some hundred mutated pictures in a process of limited memory and time; `python -m tests.images.fuzz` runs more."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.support.checkout import REPOSITORY

pytest.importorskip("resource", reason="limits of memory need resource")

INPUTS = 560


def test_mutated_pictures_are_read_or_refused():
    command = [sys.executable, "-m", "tests.images.fuzz", "--inputs", str(INPUTS), "--json"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300)
    assert done.returncode in (0, 1), (done.returncode, done.stderr[-2000:])  # a signal's: a crash, or the clock
    told = json.loads(done.stdout)
    assert told["failures"] == []
    assert sum(row["inputs"] for row in told["table"].values()) == INPUTS
    for kind, row in told["table"].items():  # else the mutations would test little
        assert row["read"] >= 5, (kind, row)
        assert row["refused"] >= 5, (kind, row)
