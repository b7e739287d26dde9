"""The guard on BLAS threads: one inside, the user's own number outside, for any overlap of calls."""

import os
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController

from npresnet.cpu.runtime import blas
from npresnet.cpu.runtime.blas import SingleThreadedBlas, blas_info, guard


def blas_threads() -> int:
    np.zeros((2, 2), np.float32) @ np.zeros((2, 2), np.float32)
    libraries = ThreadpoolController().select(user_api="blas").info()
    if not libraries:
        pytest.skip("threadpoolctl does not support this BLAS")
    return max(library["num_threads"] for library in libraries)


@contextmanager
def inside(one: SingleThreadedBlas):
    call = object()
    one.hold(call)
    yield
    one.release(call)


def test_one_thread_inside_the_users_number_after(two_blas_threads):
    with inside(guard):
        assert blas_threads() == 1
    assert blas_threads() == 2


def test_releasing_twice_releases_no_other_call(two_blas_threads):
    one, first, second = SingleThreadedBlas(), object(), object()
    one.hold(first)
    one.hold(second)
    one.release(first)
    one.release(first)
    assert blas_threads() == 1
    one.release(second)
    assert blas_threads() == 2


@pytest.mark.parametrize("at", range(1, 4))
def test_ctrl_c_in_the_middle_gives_the_number_back(two_blas_threads, monkeypatch, at):
    """The first moment is in hold, before BLAS is limited; the others in release, before and after restoring it."""
    one, moments = SingleThreadedBlas(), []
    take_control = blas._take_control

    def interrupted() -> None:
        moments.append(True)
        if len(moments) == at:
            raise KeyboardInterrupt
        take_control()

    monkeypatch.setattr(blas, "_take_control", interrupted)
    call = object()
    try:
        one.hold(call)
        one.release(call)
    except KeyboardInterrupt:
        one.release(call)
    assert len(moments) > at
    assert blas_threads() == 2
    with inside(one):
        assert blas_threads() == 1
    assert blas_threads() == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_call_of_the_parent_does_not_hold_a_forked_child(two_blas_threads):
    one = SingleThreadedBlas()
    with inside(one):
        child = os.fork()
        if child == 0:
            with inside(one):
                first = blas_threads()
            os._exit(10 * first + blas_threads())
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 12


@dataclass
class OpenMP:
    """A BLAS whose number of threads belongs to each thread, with threadpoolctl's interface."""

    threading_layer: str = "openmp"
    numbers: dict[int, int] = field(default_factory=dict)

    @property
    def num_threads(self) -> int:
        return self.numbers.get(threading.get_ident(), 8)

    def set_num_threads(self, number: int) -> None:
        self.numbers[threading.get_ident()] = number


def test_under_openmp_each_thread_has_its_own_number(monkeypatch):
    """Two calls that overlap: both run on one thread, and each restores its own number."""
    library = OpenMP()
    controller = type("Controller", (), {"lib_controllers": [library]})
    monkeypatch.setattr(blas, "_controller", lambda: controller)
    one, seen = SingleThreadedBlas(), []

    def second_call() -> None:
        with inside(one):
            seen.append(library.num_threads)
        seen.append(library.num_threads)

    with inside(one):
        thread = threading.Thread(target=second_call)
        thread.start()
        thread.join(20)
        assert library.num_threads == 1
    assert library.num_threads == 8
    assert seen == [1, 8]


def test_overlapping_calls_leave_the_users_number(two_blas_threads):
    """The first to enter leaves first: plain nested limits would keep the process on one thread forever."""
    one = SingleThreadedBlas()
    first_left, second_inside = threading.Event(), threading.Event()
    seen = []

    def second_call() -> None:
        with inside(one):
            second_inside.set()
            assert first_left.wait(20)
            seen.append(blas_threads())
        seen.append(blas_threads())

    thread = threading.Thread(target=second_call)
    with inside(one):
        thread.start()
        assert second_inside.wait(20)
    first_left.set()
    thread.join(20)
    assert seen == [1, 2]


def test_info_names_the_core_type():
    for library in blas_info():
        assert {"internal_api", "num_threads", "filepath"} <= set(library)
