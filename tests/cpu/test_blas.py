"""The guard on BLAS threads: one inside, the user's own number outside, however calls overlap."""

import threading

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController

from npresnet.cpu.blas import SingleThreadedBlas, blas_info, guard


def blas_threads() -> int:
    np.zeros((2, 2), np.float32) @ np.zeros((2, 2), np.float32)
    libraries = ThreadpoolController().select(user_api="blas").info()
    if not libraries:
        pytest.skip("threadpoolctl does not know this BLAS")
    return max(library["num_threads"] for library in libraries)


@pytest.fixture
def two_blas_threads():
    with ThreadpoolController().limit(limits=2, user_api="blas"):
        if blas_threads() != 2:
            pytest.skip("this BLAS runs on one thread only")
        yield


def test_one_thread_inside_the_users_number_after(two_blas_threads):
    with guard:
        assert blas_threads() == 1
    assert blas_threads() == 2


def test_an_error_inside_gives_the_number_back(two_blas_threads):
    with pytest.raises(ZeroDivisionError), guard:
        raise ZeroDivisionError
    assert blas_threads() == 2


def test_overlapping_calls_leave_the_users_number(two_blas_threads):
    """The first to enter leaves first: plain nested limits would keep the process on one thread for ever."""
    one = SingleThreadedBlas()
    first_left, second_inside = threading.Event(), threading.Event()
    seen = []

    def second_call() -> None:
        with one:
            second_inside.set()
            assert first_left.wait(20)
            seen.append(blas_threads())
        seen.append(blas_threads())

    thread = threading.Thread(target=second_call)
    with one:
        thread.start()
        assert second_inside.wait(20)
    first_left.set()
    thread.join(20)
    assert seen == [1, 2]


def test_info_names_the_kernel():
    for library in blas_info():
        assert {"internal_api", "num_threads", "filepath"} <= set(library)
