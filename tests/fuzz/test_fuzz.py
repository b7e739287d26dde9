"""2,000 inputs of every format, past failures, truncations of a real file; and the fuzzers find planted faults."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import pytest

from npresnet import weights
from npresnet.errors import CheckpointError
from tests.fuzz.formats import FORMATS
from tests.fuzz.past import PAST
from tests.support.checkout import REPOSITORY

INPUTS = 2000
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the fuzzers' children are forked")


def child(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Apart from this process: its threads and its memory would be a fork's as well."""
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=REPOSITORY)


@pytest.mark.parametrize("name", FORMATS)
def test_inputs_are_read_alike_or_refused(name):
    done = child("-m", "tests.fuzz", "--inputs", str(INPUTS), "--only", name)
    assert done.returncode == 0, done.stdout + done.stderr
    cells = [cell.strip().replace(",", "") for cell in done.stdout.splitlines()[-1].split("|")[1:-1]]
    inputs, refused, read, compared = map(int, cells[1:5])
    assert inputs == INPUTS
    assert refused > 0
    assert read > 0, "some damage is harmless"
    assert (compared > 0) == (FORMATS[name].oracle is not None)


JUDGED = """
import sys
from types import SimpleNamespace
from tests.fuzz import runner
from tests.fuzz.judge import judge
runner.limit_memory()
for path in sys.argv[1:]:
    print(judge(path, SimpleNamespace(oracle=None)).failure)
"""


def test_past_failures_are_cheap(tmp_path, subtests):
    paths = [tmp_path / f"{number}.bin" for number in range(len(PAST))]
    for path, made in zip(paths, PAST.values(), strict=True):
        path.write_bytes(made())
        assert path.stat().st_size < 1_000_000
    done = child("-c", JUDGED, *map(str, paths))
    for name, failure in zip(PAST, done.stdout.splitlines(), strict=True):
        with subtests.test(name=name):
            assert failure == "", done.stderr


FAULTS = {
    "a mistake in disguise": "raise CheckpointError(path) from TypeError()",
    "raised KeyError": "raise KeyError(path)",
    "does not name the file": "raise CheckpointError('damaged')",
    "differs from": "return Read(None, {'w': numpy.ones(3)}, '')",
    "has no 'v'": "return Read(None, {'v': numpy.zeros(3)}, '')",
    "took 2.": "while time.process_time() < start + 2.1: pass\n    raise CheckpointError(path)",
    "died": "os._exit(1)",
    "hung": "time.sleep(60)",
    "MB": "bytearray(400 << 20)\n    raise CheckpointError(path)",
    "MemoryError": "bytearray(4 << 30)",
}
PLANTED = """
import collections, numpy, os, time
from types import SimpleNamespace
from npresnet import weights
from npresnet.errors import CheckpointError
from tests.fuzz import runner
Read = collections.namedtuple("Read", "wrapper tensors prefix")
def read(path):
    if open(path).read() == "0":
        return Read(None, {{"w": numpy.zeros(3)}}, "")
    start = time.process_time()
    {fault}
weights.read, weights.inspect = read, lambda path: ""
runner.CLOCK_S = {clock}
made = lambda rng: str(int(rng.random() < 0.5)).encode()
format = SimpleNamespace(make=made, oracle=lambda path: {{"w": numpy.zeros(3)}})
report = runner.run("planted", format, 3, seed={seed})
print([number for number, _ in report.failures], report.inputs, report.compared, *[why for _, why in report.failures])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured as Linux reports it")
@pytest.mark.parametrize("expected", FAULTS)
def test_planted_faults_are_found(expected):
    """Of three inputs the second makes a faulty reader fail; the others are read and compared."""
    drawn = {seed: [random.Random(f"planted {seed} {n}").random() < 0.5 for n in range(3)] for seed in range(99)}
    seed = next(seed for seed, bits in drawn.items() if bits == [False, True, False])
    done = child("-c", PLANTED.format(fault=FAULTS[expected], seed=seed, clock=1.5 if expected == "hung" else 60))
    assert done.stdout.startswith("[1] 3 "), done.stdout + done.stderr
    assert expected in done.stdout


def test_truncations_of_a_real_file(cifar_checkpoints, tmp_path):
    raw = cifar_checkpoints[20].read_bytes()
    path = tmp_path / "w.th"
    rng = random.Random(1)
    for _ in range(40):
        path.write_bytes(raw[: rng.randrange(1, len(raw))])
        with pytest.raises(CheckpointError, match=r"its pickle|truncated"):
            weights.read_state_dict(path)
