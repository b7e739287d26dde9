"""Prepared weights: the same bits with and without them, and no file, damaged, foreign or stale, changes any."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np
import pytest

import npresnet
from npresnet.cpu.compiler import prepared
from npresnet.cpu.compiler.prepared import Store, Wanted, make_room
from npresnet.cpu.kernels.filters import Filters, Key
from tests.cpu.kernels.test_filters import conv

X = np.random.default_rng(0).standard_normal((2, 3, 32, 32), np.float32)
PROGRAM = """
import sys, numpy, npresnet
model = npresnet.load(sys.argv[1], threads=1)
print(model(numpy.load(sys.argv[2])).tobytes().hex())
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NPRESNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NPRESNET_PREPARED")
    return tmp_path / "cache" / "prepared"


def wanted(seed: int = 0) -> list[Wanted]:
    shapes = {"a": (64, 64, 3, 1), "b": (100, 7, 1, 1), "c": (256, 256, 3, 1)}
    filters = {name: Filters(conv(*shape, seed=seed)) for name, shape in shapes.items()}
    return [
        Wanted("a", filters["a"], Key(4, "panels")),
        Wanted("b", filters["b"], Key(0, "gemm")),
        Wanted("c", filters["c"], Key(2, "gemm")),
    ]


def kept(folder, seed: int = 0):
    """A folder with one file, that file, and what it holds."""
    ones = wanted(seed)
    arrays = [one.filters.prepacked(one.key) for one in ones]
    Store(folder, "weights").keep(ones)
    (path,) = folder.glob("*.prepared")
    return path, arrays


def test_what_is_kept_comes_back_mapped_aligned_and_read_only(folder):
    _, arrays = kept(folder)
    ones = wanted()
    assert Store(folder, "weights").fill(ones)
    for one, array in zip(ones, arrays, strict=True):
        assert one.filters.has(one.key)
        got = one.filters.prepacked(one.key)
        np.testing.assert_array_equal(got, array)
        assert got.ctypes.data % 64 == 0
        assert not got.flags.writeable
        assert not got.flags.owndata


def test_another_file_other_weights_or_another_choice_find_nothing(folder):
    kept(folder)
    assert not Store(folder, "other weights").fill(wanted())
    assert not Store(folder, "weights").fill(wanted(seed=1))
    others = wanted()
    others[0] = others[0]._replace(key=Key(2, "panels"))
    assert not Store(folder, "weights").fill(others)
    assert not Store(folder, "weights").fill(wanted()[:2])
    others = wanted()
    others[0] = others[0]._replace(filters=Filters(conv(64, 64, 3, 1, stride=2)))  # as an option of the network may set
    assert not Store(folder, "weights").fill(others)
    assert not Store(folder / "nowhere", "weights").fill(wanted())


def test_another_blas_finds_nothing(folder, monkeypatch):
    kept(folder)
    monkeypatch.setattr(prepared.blas, "versions", lambda: ["another"])
    assert not Store(folder, "weights").fill(wanted())


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: b"",
        lambda raw: raw[:-1],
        lambda raw: raw[: len(raw) // 2],
        lambda raw: raw + b"\0",
        lambda raw: b"\0" * len(raw),
        lambda raw: raw[:4096] + b"\0" * (len(raw) - 4096),
        lambda raw: raw[: len(raw) // 2] + b"\0" * (len(raw) - len(raw) // 2),
        lambda raw: raw[: 1 << 19] + b"\0" * (1 << 17) + raw[(1 << 19) + (1 << 17) :],
        lambda raw: raw[: 4096 * 50] + b"\0" * 4096 + raw[4096 * 51 :],
        lambda raw: b"X" + raw[1:],
        lambda raw: raw[:-10] + b"X" + raw[-9:],
    ],
    ids=[
        "empty",
        "a byte short",
        "half",
        "a byte long",
        "zeros",
        "no data",
        "half zeros",
        "a hole",
        "a page",
        "head",
        "check",
    ],
)
def test_a_damaged_file_counts_as_none_and_is_replaced(folder, damage):
    path, _ = kept(folder)
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    ones = wanted()
    store = Store(folder, "weights")
    assert not store.fill(ones)
    assert not any(one.filters.has(one.key) for one in ones)
    store.keep(ones)
    assert path.read_bytes() == whole
    assert store.fill(wanted())


def test_a_hole_is_noticed_also_beside_dead_filters(folder):
    """All their numbers are 0, like the first of a whole panel here."""

    def with_dead_filters() -> list[Wanted]:
        node = conv(256, 64, 3, 1)
        weight = np.array(node.params["weight"])
        weight[::64] = 0
        return [Wanted("a", Filters(node.evolve(params={**node.params, "weight": weight})), Key(0, "panels"))]

    store = Store(folder, "weights")
    ones = with_dead_filters()
    ones[0].filters.prepacked(ones[0].key)
    store.keep(ones)
    (path,) = folder.glob("*.prepared")
    raw = path.read_bytes()
    assert store.fill(with_dead_filters())
    for page in range(1, len(raw) // 4096 - 1, 7):
        path.write_bytes(raw[: page * 4096] + bytes(4096) + raw[(page + 1) * 4096 :])
        assert not store.fill(with_dead_filters()), page


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="files have no owners on this system")
def test_anothers_file_counts_as_none(folder, monkeypatch):
    kept(folder)
    monkeypatch.setattr(prepared.os, "getuid", lambda: os.geteuid() + 1)
    assert not Store(folder, "weights").fill(wanted())


def test_a_folder_in_the_files_place_is_no_error(folder):
    path, _ = kept(folder)
    path.unlink()
    path.mkdir()
    ones = wanted()
    assert not Store(folder, "weights").fill(ones)
    Store(folder, "weights").keep(ones)
    assert path.is_dir()


def test_no_folder_can_be_made(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    store = Store(tmp_path / "file" / "prepared", "weights")
    store.keep(wanted())
    assert not store.fill(wanted())


def test_a_full_disk_leaves_nothing(folder, monkeypatch):
    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(prepared, "replacing", full)
    Store(folder, "weights").keep(wanted())
    assert not list(folder.iterdir())


def test_the_least_recently_used_are_evicted(folder, monkeypatch):
    folder.mkdir(parents=True)
    for age, name in enumerate(["new", "middle", "old"]):
        path = folder / f"{name}.prepared"
        path.write_bytes(b"\0" * 1000)
        os.utime(path, (time.time() - age * 100,) * 2)
    (folder / "keep.txt").write_text("not ours")
    monkeypatch.setattr(prepared, "LIMIT_BYTES", 2500)
    assert make_room(folder, 1000)
    assert sorted(path.name for path in folder.iterdir()) == ["keep.txt", "new.prepared"]
    assert not make_room(folder, 2501)
    assert prepared.size_bytes_of(folder) == 1000


def test_use_makes_a_file_young(folder):
    path, _ = kept(folder)
    os.utime(path, (1, 1))
    assert Store(folder, "weights").fill(wanted())
    assert path.stat().st_mtime > time.time() - 1000


def test_what_a_dead_process_left_goes_and_what_a_living_one_writes_stays(folder):
    folder.mkdir(parents=True)
    for name, age in (("dead", 10_000), ("living", 10)):
        path = folder / f".{name}.prepared.00.part"
        path.write_bytes(b"")
        os.utime(path, (time.time() - age,) * 2)
    assert make_room(folder, 1)
    assert [path.name for path in folder.iterdir()] == [".living.prepared.00.part"]


def test_a_model_has_the_same_bits_with_and_without(folder, tmp_path, monkeypatch):
    path = tmp_path / "small.npz"
    npresnet.build("cifar_resnet20", seed=3).save(path)
    monkeypatch.setenv("NPRESNET_PREPARED", "0")
    without = npresnet.load(path, threads=2)(X)
    assert not folder.exists()
    monkeypatch.setenv("NPRESNET_PREPARED", "1")
    first = npresnet.load(path, threads=2)(X)
    (file,) = folder.glob("*.prepared")
    made = file.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(Filters, "_make", None)  # nothing is prepacked any more
        second = npresnet.load(path, threads=1)(X)
    for got in (first, second):
        np.testing.assert_array_equal(got.view(np.int32), without.view(np.int32))
    assert file.read_bytes() == made  # mapped files are not written


def test_another_file_of_the_same_name_size_and_time_is_not_taken_for_the_first(folder, tmp_path):
    path = tmp_path / "small.npz"
    results = []
    for seed in (1, 2):
        npresnet.build("cifar_resnet20", seed=seed).save(path)
        os.utime(path, ns=(10**18, 10**18))
        results.append(npresnet.load(path, threads=1)(X))
        expected = npresnet.build("cifar_resnet20", seed=seed, threads=1)(X)
        np.testing.assert_array_equal(results[-1].view(np.int32), expected.view(np.int32))
    assert (results[0] != results[1]).any()
    assert len(list(folder.glob("*.prepared"))) == 2


def test_features_random_weights_and_other_sizes_write_nothing_more(folder, tmp_path):
    npresnet.build("cifar_resnet20")(X)
    path = tmp_path / "small.npz"
    model = npresnet.build("cifar_resnet20", seed=3)
    model.save(path)
    model = npresnet.load(path)
    model.features(X, ["layer1"])
    assert not folder.exists()
    model(X)
    model(X[:, :, :24])
    assert len(list(folder.glob("*.prepared"))) == 1


def test_several_processes_at_once(folder, tmp_path):
    path, images = tmp_path / "small.npz", tmp_path / "x.npy"
    npresnet.build("cifar_resnet20", seed=3).save(path)
    np.save(images, X)
    command = [sys.executable, "-c", PROGRAM, str(path), str(images)]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    printed = {child.communicate()[0].strip() for child in children}
    assert printed == {npresnet.load(path, threads=1)(X).tobytes().hex()}
    assert [path.suffix for path in folder.iterdir()] == [".prepared"]
