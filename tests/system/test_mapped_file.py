"""A mapping that outlives its module, as those of global models do, is closed in silence."""

from __future__ import annotations

import subprocess
import sys

from tests.support.checkout import REPOSITORY

PROGRAM = """
import builtins, os, sys
from npresnet.system.mapped_file import MappedFile
with open(sys.argv[1], "rb") as file:
    builtins.kept = MappedFile.of(file.fileno(), sys.argv[1])  # what builtins hold goes after all modules
print(len(builtins.kept), flush=True)
"""


def test_the_interpreters_end(tmp_path):
    (tmp_path / "some.bin").write_bytes(bytes(100))
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "some.bin")]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("100\n", "", 0)
