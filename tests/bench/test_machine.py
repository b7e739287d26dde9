import json
import platform
import subprocess
import sys

import pytest

from npresnet.bench import machine
from npresnet.bench.process import worker_environ


def test_description_names_the_machine_but_not_the_host():
    found = machine.describe()
    assert found["cpus"] >= 1
    assert found["cpu"]
    assert found["python"] == platform.python_version()
    assert len(platform.node()) < 4 or platform.node() not in json.dumps(found)


def test_blas_and_its_core_type_in_a_few_words():
    libraries = [{"internal_api": "openblas", "version": "0.3.31", "architecture": "SkylakeX", "num_threads": 2}]
    assert machine.blas_text(libraries) == "openblas 0.3.31 SkylakeX"
    assert "does not know" in machine.blas_text([])


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell a process's memory simply")
def test_the_peak_grows_with_what_is_held_and_stays_when_it_is_freed():
    program = """
from npresnet.bench import memory
print(memory.memory().peak_mb)
held = bytearray(200_000_000)
print(memory.memory().peak_mb)
del held
print(memory.memory().peak_mb)
print(memory.memory().resident_mb or 0)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], env=worker_environ(1), capture_output=True, text=True, check=True
    )
    before, during, after, resident = map(float, done.stdout.split())
    assert 195 < during - before < 260
    assert after > during - 5  # Linux counts pages in batches: a peak read twice may differ a little
    assert resident < during - 150
