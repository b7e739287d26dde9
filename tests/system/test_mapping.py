"""Pages let go of come back with the same numbers, and really leave memory meanwhile."""

import sys
from pathlib import Path

import numpy as np
import pytest

from npresnet import weights
from npresnet.system.mapping import drop_pages


@pytest.fixture
def mapped(tmp_path):
    """16 MB in the middle of a file, mapped, and a copy in memory."""
    expected = np.random.default_rng(0).standard_normal((1024, 4096), dtype=np.float32)
    weights.write_npz(tmp_path / "w.npz", {"before": np.ones(7), "w": expected, "after": np.ones(5)}, {})
    return weights.read_state_dict(tmp_path / "w.npz")["w"], expected


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_the_numbers_come_back(mapped):
    array, expected = mapped
    assert np.array_equal(array, expected)
    drop_pages(array)
    assert np.array_equal(array, expected)
    drop_pages(array[100:200])
    drop_pages(array[:, ::2])
    assert np.array_equal(array, expected)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells what is resident on Linux alone")
def test_the_pages_leave_memory(mapped):
    array, _ = mapped
    array.sum()
    before = resident_bytes()
    drop_pages(array)
    assert resident_bytes() < before - 15_000_000


def test_what_was_written_to_a_private_copy_of_the_pages_stays(tmp_path):
    """Mapped copy-on-write, the file does not have it."""
    np.zeros(1_000_000, np.float32).tofile(tmp_path / "zeros")
    array = np.memmap(tmp_path / "zeros", np.float32, "c")
    array[:] = 7
    drop_pages(array)
    assert (array == 7).all()


def test_ordinary_arrays_are_left_alone():
    array = np.arange(100_000, dtype=np.float32)
    drop_pages(array)
    assert array[99_999] == 99_999
    drop_pages(np.float32(3) * np.ones(()))
