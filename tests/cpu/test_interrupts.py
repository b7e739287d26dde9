"""Ctrl-C at every moment at which Python checks for signals: the entry of a function, and the return of a call into C.

A profile function raises KeyboardInterrupt at each such moment of a call in turn, in a separate thread, so that a hang
can be detected.
"""

from __future__ import annotations

import sys
import threading
from contextlib import suppress
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from npresnet import cpu
from npresnet.cpu.kernels import gemm
from npresnet.cpu.runtime.blas import guard
from npresnet.network import INPUT, Network, Node
from npresnet.window import Window
from tests.support.cases import integers

BACKEND = str(Path(cpu.__file__).parent)
PATIENCE_S = 120


class Interruption:
    """Raises KeyboardInterrupt at moment number `at` inside the CPU backend; `reached`: whether there was one."""

    def __init__(self, at: int):
        self._left = at
        self.reached = False

    def __enter__(self) -> Interruption:
        sys.setprofile(self._event)
        return self

    def __exit__(self, *error: object) -> None:
        sys.setprofile(None)

    def _event(self, frame, event, argument) -> None:
        if event not in ("call", "c_return") or self.reached:
            return
        while frame is not None and not frame.f_code.co_filename.startswith(BACKEND):
            frame = frame.f_back
        if frame is not None:
            self._left -= 1
            if self._left == 0:
                self.reached = True
                raise KeyboardInterrupt


def small_network() -> Network:
    weight = integers(np.random.default_rng(0), (3, 3, 3, 3), most=1)
    conv = Node("conv", "conv2d", (INPUT,), Window.of(3, 1, 1), params={"weight": weight}, activation="relu")
    return Network((conv, Node("sum", "add", ("conv", INPUT))), {"y": "sum"})


def blas_threads() -> list[int]:
    return [library["num_threads"] for library in cpu.blas_info()]


def interrupt_everywhere(images: int, new_workers: bool) -> int:
    """The number of moments. Wherever the interrupt comes, it is raised, and all state is restored."""
    executable = cpu.compile(small_network(), threads=2)
    x = integers(np.random.default_rng(1), (images, 3, 9, 8))
    expected, own_threads, team = executable(x)["y"], blas_threads(), executable._team
    assert set(own_threads) == {2}
    for at in count(1):
        if new_workers:
            team._ready_in = None
        with Interruption(at) as interruption:
            try:
                executable(x)
                raised = False
            except KeyboardInterrupt:
                raised = True
        if not interruption.reached:
            return at - 1
        assert raised, f"swallowed at moment {at}"
        assert blas_threads() == own_threads, f"BLAS is left on one thread after moment {at}"
        assert team.try_enter("another call"), f"the team cannot be acquired any more after moment {at}"
        team.leave("another call")
        assert np.array_equal(executable(x)["y"], expected)
    raise AssertionError


def interrupt_probes() -> int:
    """The number of moments of a probe of BLAS, of which a first call makes many. All state is restored."""
    own_threads = blas_threads()
    for at in count(1):
        gemm._keeps_bits.cache_clear()
        with Interruption(at) as interruption, suppress(KeyboardInterrupt):
            gemm.keeps_bits("gemm", 1, 2, 7, 5, 9)
        assert blas_threads() == own_threads, f"BLAS is left on one thread after moment {at}"
        assert not guard._calls
        if not interruption.reached:
            return at - 1
    raise AssertionError


def test_ctrl_c_during_the_probes_of_a_first_call(two_blas_threads):
    assert interrupt_probes() > 100


@pytest.mark.parametrize("new_workers", [False, True])
@pytest.mark.parametrize("images", [1, 5])
def test_ctrl_c_at_every_moment(two_blas_threads, images, new_workers):
    moments = []
    thread = threading.Thread(target=lambda: moments.append(interrupt_everywhere(images, new_workers)), daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    assert not thread.is_alive(), "a call hangs"
    assert moments[0] > 100
