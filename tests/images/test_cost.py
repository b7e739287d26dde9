"""No picture costs more than 300 MB, or a third more than Pillow itself takes to open and convert it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.support.checkout import REPOSITORY

OWN_MB = 12  # decoders and bands, whatever the picture's size: less than a third of these pictures


@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="needs the peak of resident memory")
def test_memory_beside_pillows(tmp_path):
    command = [sys.executable, "-m", "tests.images.cost", str(tmp_path)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    costs = json.loads(done.stdout)
    assert len(costs) == 8 * 2 + 4 * 2 + 1
    for name, (ours, pillow) in costs.items():
        assert ours <= (1.34 * pillow + OWN_MB if pillow else 300), (name, ours, pillow)
