"""A process with little memory: DeviceError, before OpenBLAS finds none, which would end the process."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import npresnet
from npresnet import cpu
from npresnet.cpu.compiler import programs
from tests.conftest import REPOSITORY
from tests.cpu.test_interrupts import small_network

SCRIPT = """if True:
    import resource, sys
    import numpy as np
    import npresnet
    model = npresnet.build("resnet18", threads=1)
    executable = model.executable()  # its threads are not what is limited
    for line in open("/proc/self/status"):
        if line.startswith("VmSize"):
            limit = int(line.split()[1]) * 1024 + (int(sys.argv[1]) << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    try:
        model(np.zeros((1, 3, 224, 224), np.float32))
    except npresnet.DeviceError as error:
        print("DeviceError", error)
    else:
        print("ran")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of the address space are Linux's")
@pytest.mark.parametrize("spare_mb", [88, 600])
def test_a_limit_of_the_address_space(spare_mb):
    """With 72 to 110 MB the prepacked weights fitted, but OpenBLAS's own buffer beside them did not."""
    words = [sys.executable, "-c", SCRIPT, str(spare_mb)]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("ran" if spare_mb == 600 else "DeviceError")
    if spare_mb != 600:
        assert "memory" in done.stdout


def test_all_of_a_first_call_is_asked_for_at_once(monkeypatch):
    """Weights, plans and the BLAS; a later call of the same shape asks for nothing."""
    asked: list[int] = []
    empty = np.empty

    def count(size, *arguments):
        if isinstance(size, int):
            asked.append(size)
        return empty(size, *arguments)

    monkeypatch.setattr(programs.np, "empty", count)
    monkeypatch.setattr(programs.blas, "buffer_bytes", lambda: 1 << 20)
    executable = cpu.compile(small_network(), threads=1)
    x = np.zeros((1, 3, 9, 8), np.float32)
    executable(x)
    assert sum(size > 1 << 20 for size in asked) == 1
    asked.clear()
    executable(x)
    assert not any(size > 1 << 20 for size in asked)


def test_what_cannot_be_had_is_said(monkeypatch):
    monkeypatch.setattr(programs.blas, "buffer_bytes", lambda: 1 << 60)
    with pytest.raises(npresnet.DeviceError, match=r"needs .* MB to run on 1 thread .*the BLAS.*more than the memory"):
        cpu.compile(small_network(), threads=1)(np.zeros((1, 3, 9, 8), np.float32))
