"""A weight file that changes under a living model: noticed by the next call, before anything is computed."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import shutil
import time

import numpy as np
import pytest

import npresnet
from npresnet.system.mapped_file import MappedFile, files_of
from npresnet.weights import read_state_dict
from tests.support.small import batch, picture

posix = pytest.mark.skipif(os.name == "nt", reason="Windows refuses to change a mapped file")


@pytest.fixture
def path(tmp_path):
    """A weight file that is a little older than the tests."""
    path = tmp_path / "weights.npz"
    npresnet.build("cifar_resnet20", num_classes=10, seed=1, threads=1).save(path)
    os.utime(path, (1e9, 1e9))
    return path


def flip(path, *, keep_times: bool) -> None:
    """Change one byte in place."""
    status = path.stat()
    time.sleep(0.02)  # longer than a tick of the file system's clock
    with open(path, "r+b") as file:
        file.seek(status.st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))
    if keep_times:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


USES = {
    "model(x)": lambda model, folder: model(batch(1)),
    "predict": lambda model, folder: model.predict(picture()),
    "predict a list": lambda model, folder: model.predict([picture()] * 2),
    "stream": lambda model, folder: list(model.stream([picture()])),
    "features": lambda model, folder: model.features(batch(1), ["layer1"]),
    "embed": lambda model, folder: model.embed(picture()),
    "cam": lambda model, folder: model.cam(picture()),
    "save": lambda model, folder: model.save(folder / "again.npz"),
    "executable": lambda model, folder: model.executable(),
}


@posix
@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("is_compiled", [True, False], ids=["after a call", "before any call"])
def test_a_file_written_into(path, tmp_path, is_compiled, use):
    with npresnet.load(path, threads=1) as model:
        if is_compiled:
            model(batch(1))
        flip(path, keep_times=False)
        for _ in range(2):
            with pytest.raises(npresnet.CheckpointError, match=r"weights.npz was written into .*os.replace.*copy=True"):
                USES[use](model, tmp_path)
    assert not (tmp_path / "again.npz").exists()


@posix
def test_the_same_size_and_time(path):
    with npresnet.load(path, threads=1) as model:
        model(batch(1))
        flip(path, keep_times=True)
        with pytest.raises(npresnet.CheckpointError, match="was written into"):
            model(batch(1))


@posix
def test_a_file_cut_short(path):
    """Reading what was cut off would end the process."""
    with npresnet.load(path, threads=1) as model:
        with open(path, "r+b") as file:
            file.truncate(4096)
        with pytest.raises(npresnet.CheckpointError, match=r"was cut short .* bytes, now 4,096"):
            model(batch(1))


@posix
def test_what_changes_no_byte_is_no_change(path, tmp_path):
    other = tmp_path / "other.npz"
    npresnet.build("cifar_resnet20", num_classes=10, seed=2, threads=1).save(other)
    with npresnet.load(path, threads=1) as model:
        expected = model(batch(1))
        path.chmod(0o600)
        assert np.array_equal(model(batch(1)), expected)
        os.link(path, tmp_path / "link.npz")
        assert np.array_equal(model(batch(1)), expected)
        shutil.copy(path, tmp_path / "copy.npz")
        path.rename(tmp_path / "moved.npz")
        assert np.array_equal(model(batch(1)), expected)
        (tmp_path / "moved.npz").rename(path)
        other.replace(path)
        assert np.array_equal(model(batch(1)), expected)
        model.save(path)
        assert np.array_equal(model(batch(2))[:1], expected)


@posix
def test_copies_do_not_depend_on_the_file(path):
    with npresnet.load(path, threads=1) as model:
        expected = model(batch(1))
        others = [npresnet.load(path, threads=1, copy=True), copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
        with open(path, "r+b") as file:
            file.truncate(100)
        for other in others:
            assert np.array_equal(other(batch(1)), expected)
    assert not any(array.flags.writeable for array in others[0]._tensors.values())
    with pytest.raises(npresnet.ArchitectureError, match="copy must be True or False"):
        npresnet.load("demo", copy="yes")


def test_a_check_costs_microseconds(path):
    files = files_of(read_state_dict(path).values())
    assert len(files) == 1
    assert isinstance(files[0], MappedFile)

    def once_us() -> float:
        start_s = time.perf_counter()
        for _ in range(1000):
            files[0].check()
        return (time.perf_counter() - start_s) * 1e3

    cost_us = min(once_us() for _ in range(5))
    assert cost_us < 20, f"{cost_us:.2f} us"  # 2.5 on an idle machine


def test_descriptors_are_closed_with_the_last_array(path):
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("this system does not list open files")
    gc.collect()  # what other tests have left open
    before = len(os.listdir("/proc/self/fd"))
    arrays = [read_state_dict(path) for _ in range(20)]
    assert len(os.listdir("/proc/self/fd")) >= before + 20
    del arrays
    assert len(os.listdir("/proc/self/fd")) == before
