"""Models with prepared weights: the same bits with and without them, in one process, the next, and several at once."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest

import npresnet
from npresnet.cpu.kernels.filters import Filters
from npresnet.system.stamp import settle

X = np.random.default_rng(0).standard_normal((2, 3, 32, 32), np.float32)
PROGRAM = """
import sys, numpy, npresnet
model = npresnet.load(sys.argv[1], threads=1)
print(model(numpy.load(sys.argv[2])).tobytes().hex())
"""


def saved(tmp_path, seed: int = 3):
    path = tmp_path / "small.npz"
    npresnet.build("cifar_resnet20", seed=seed).save(path)
    return path


def files(folder, suffix: str = ".prepared"):
    return sorted(folder.glob(f"*{suffix}"))


def test_a_model_has_the_same_bits_with_and_without(folder, tmp_path, monkeypatch):
    path = saved(tmp_path)
    monkeypatch.setenv("NPRESNET_PREPARED", "0")
    without = npresnet.load(path, threads=2)(X)
    assert not folder.exists()
    monkeypatch.setenv("NPRESNET_PREPARED", "1")
    npresnet.prepare(path, threads=2, input_size=(3, 32, 32))
    (file,) = files(folder)
    made = file.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(Filters, "_make", None)  # nothing is prepacked any more
        one, two = (npresnet.load(path, threads=threads)(X[:1]) for threads in (1, 2))
    for got in (one, two):
        np.testing.assert_array_equal(got.view(np.int32), without[:1].view(np.int32))
    assert file.read_bytes() == made  # mapped files are not written


def run(path, images) -> str:
    done = subprocess.run([sys.executable, "-c", PROGRAM, path, images], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_second_process_writes_and_the_third_reads(folder, tmp_path):
    path, images = saved(tmp_path), tmp_path / "x.npy"
    np.save(images, X)
    printed, written = [], []
    for _ in range(3):
        printed.append(run(path, images))
        written.append([file.stat().st_mtime_ns for file in files(folder)])
    assert len(set(printed)) == 1
    assert [len(times) for times in written] == [0, 1, 1]
    assert written[1] == written[2]
    assert len(files(folder, ".loaded")) == 1


def test_the_second_load_in_one_process_writes(folder, tmp_path, monkeypatch):
    path = saved(tmp_path, seed=4)
    os.utime(path)
    npresnet.load(path)(X)
    assert files(folder) == []
    npresnet.load(path)(X)
    assert len(files(folder)) == 1


def test_a_damaged_file_is_replaced_by_the_next_load(folder, tmp_path):
    path = saved(tmp_path, seed=5)
    settle(str(path))  # otherwise the first of the two files may say nothing of its stamp
    expected = npresnet.load(path, threads=1)(X)
    npresnet.load(path, threads=1)(X)
    (file,) = files(folder)
    good = file.read_bytes()
    file.write_bytes(good[:-5000] + bytes([good[-5000] ^ 4]) + good[-4999:])
    np.testing.assert_array_equal(npresnet.load(path, threads=1)(X), expected)
    assert file.read_bytes() == good


@pytest.mark.parametrize("how", ["in place", "replaced", "a copy with its time"])
@pytest.mark.parametrize("suffix", ["npz", "pkl"])
def test_another_file_of_the_same_name_size_and_time_is_not_taken_for_the_first(
    folder, tmp_path, how, suffix, monkeypatch
):
    path, other = tmp_path / f"weights.{suffix}", tmp_path / "other"

    def write(place, tensors):
        with open(place, "wb") as file:
            np.savez(file, **tensors) if suffix == "npz" else pickle.dump(tensors, file)
        os.utime(place, ns=(10**18, 10**18))

    def logits():
        return npresnet.load(path, threads=1, shortcut="A")(X)

    tensors = {name: np.array(array) for name, array in npresnet.read_state_dict(saved(tmp_path)).items()}
    write(path, tensors)
    old = [logits() for _ in range(3)][-1]
    assert len(files(folder)) == 1
    size = path.stat().st_size
    tensors["layer2.1.conv1.weight"][3:9, 20:, 2, 0] += 0.25  # none of the samples
    write(path if how == "in place" else other, tensors)
    if how != "in place":
        (os.replace if how == "replaced" else shutil.copy2)(other, path)
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (size, 10**18)
    new = logits()
    monkeypatch.setenv("NPRESNET_PREPARED", "0")
    np.testing.assert_array_equal(new, logits())
    assert (new != old).any()


def test_features_random_weights_and_other_sizes_write_nothing_more(folder, tmp_path):
    npresnet.build("cifar_resnet20")(X)
    path = saved(tmp_path, seed=6)
    for _ in range(2):
        model = npresnet.load(path)
        model.features(X, ["layer1"])
    assert not folder.exists()
    for _ in range(2):
        model = npresnet.load(path)
        model(X)
        model(X[:, :, :24])
    assert len(files(folder)) == 1


def test_several_processes_at_once(folder, tmp_path):
    """All of them write, for an earlier one has loaded the file."""
    path, images = saved(tmp_path, seed=7), tmp_path / "x.npy"
    np.save(images, X)
    expected = run(path, images)
    command = [sys.executable, "-c", PROGRAM, str(path), str(images)]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert {child.communicate()[0].strip() for child in children} == {expected}
    assert sorted(path.suffix for path in folder.iterdir()) == [".loaded", ".prepared"]
    assert run(path, images) == expected
