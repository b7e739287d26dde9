"""drop_pages releases memory, and dropped pages are read again with the same values."""

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


def test_values_are_unchanged(mapped):
    array, expected = mapped
    assert np.array_equal(array, expected)
    drop_pages(array)
    assert np.array_equal(array, expected)
    drop_pages(array[100:200])
    drop_pages(array[:, ::2])
    assert np.array_equal(array, expected)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc reports resident memory only on Linux")
def test_memory_is_released(mapped):
    array, _ = mapped
    array.sum()
    before = resident_bytes()
    drop_pages(array)
    assert resident_bytes() < before - 15_000_000


def test_private_changes_are_kept(tmp_path):
    """Changes to a copy-on-write mapping are not in the file."""
    np.zeros(1_000_000, np.float32).tofile(tmp_path / "zeros")
    array = np.memmap(tmp_path / "zeros", np.float32, "c")
    array[:] = 7
    drop_pages(array)
    assert (array == 7).all()


def test_other_arrays_are_ignored():
    array = np.arange(100_000, dtype=np.float32)
    drop_pages(array)
    assert array[99_999] == 99_999
    drop_pages(np.float32(3) * np.ones(()))
