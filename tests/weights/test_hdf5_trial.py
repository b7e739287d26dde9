"""The trial reading of HDF5 files: what costs the library too much is refused, all else is read as before."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from npresnet import read_state_dict, weights
from npresnet.errors import CheckpointError
from npresnet.system import interpreter as system_interpreter
from npresnet.weights import hdf5, hdf5_trial

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture
def good(tmp_path):
    path = tmp_path / "good.h5"
    with h5py.File(path, "w") as file:
        file["conv1/conv1/kernel:0"] = np.arange(12, dtype="f4").reshape(1, 2, 3, 2)
    return str(path)


@pytest.mark.parametrize("name", ["hangs.h5", "asks_for_a_gigabyte.h5"])
def test_damage_that_costs_the_library_too_much(name):
    """Found by fuzzing; HDF5 1.14 and 2.0 read the first for ever."""
    with pytest.raises(CheckpointError, match="HDF5"):
        read_state_dict(FIXTURES / name)


@pytest.mark.parametrize(
    ("opening", "match"),
    [
        ("while True: pass", "in a trial the HDF5 library needed more than 2 s or 300 MB"),
        ("self.kept = bytearray(1 << 30)", "in a trial the HDF5 library needed more than 2 s or 300 MB"),
        ("raise OSError('bad heap')", "truncated or damaged"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "in a trial the HDF5 library"),
    ],
)
@pytest.mark.parametrize("form", ["file", "bytes"])
def test_whatever_the_library_does(tmp_path, good, monkeypatch, opening, match, form):
    """The child imports this stand-in, this process has the real library."""
    (tmp_path / "h5py.py").write_text(f"class File:\n    def __init__(self, *_):\n        {opening}\n")
    source = good if form == "file" else Path(good).read_bytes()
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(CheckpointError, match=match):
        read_state_dict(source)


def test_what_the_child_refuses_is_refused_in_its_words(tmp_path, monkeypatch):
    path = tmp_path / "cut.h5"
    with h5py.File(path, "w") as file:
        file["a"] = np.zeros(100_000, "f4")
    path.write_bytes(path.read_bytes()[:-1000])
    monkeypatch.setattr(hdf5, "read_variables", lambda *_: pytest.fail("read in this process"))
    with pytest.raises(CheckpointError, match="truncated"):
        read_state_dict(str(path))


def test_modules_beside_the_user_are_not_imported(tmp_path, good, monkeypatch):
    (tmp_path / "h5py.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    assert read_state_dict(good)["conv1.kernel"].shape == (1, 2, 3, 2)


def test_without_a_child_it_is_read_without_a_trial(good, monkeypatch):
    assert weights.read(good).notes == []
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with pytest.raises(Exception, match="frozen"):
        system_interpreter.interpreter()
    found = weights.read(good)
    assert list(found.tensors) == ["conv1.kernel"]
    assert "no process could be started" in found.notes[0]


def test_numbers_are_those_of_a_reading_without_a_trial(good, monkeypatch):
    tried, in_memory = read_state_dict(good), read_state_dict(io.BytesIO(Path(good).read_bytes()))
    monkeypatch.setattr(hdf5_trial, "try_reading", lambda source, span: None)
    for name, array in read_state_dict(good).items():
        assert tried[name].tobytes() == in_memory[name].tobytes() == array.tobytes()


def test_limits_grow_with_the_file():
    assert hdf5_trial.limits(0) == (2, 300_000_000)
    assert hdf5_trial.limits(100_000_000) == (12, 2_300_000_000)
