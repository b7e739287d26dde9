"""Prepared weights: the same bits with and without them, and no file, damaged, foreign or stale, changes any."""

from __future__ import annotations

import os
import pickle
import random
import shutil
import subprocess
import sys

import numpy as np
import pytest

import npresnet
from npresnet.cpu.compiler import prepared, prepared_file
from npresnet.cpu.compiler.prepared import Store, Wanted, checksum_of_all
from npresnet.cpu.kernels.filters import Filters, Key
from npresnet.cpu.runtime.workers import Team
from npresnet.system.stamp import Identity
from tests.cpu.kernels.test_filters import conv

WEIGHTS = Identity("weights.npz", "inode 7")
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


def keep(store: Store, ones: list[Wanted]) -> None:
    store.keep(ones, checksum_of_all(ones))


def kept(folder, seed: int = 0):
    """A folder with one file, that file, and what it holds."""
    ones = wanted(seed)
    arrays = [one.filters.prepacked(one.key) for one in ones]
    keep(Store(folder, WEIGHTS), ones)
    (path,) = folder.glob("*.prepared")
    return path, arrays


def test_what_is_kept_comes_back_mapped_aligned_and_read_only(folder):
    _, arrays = kept(folder)
    ones = wanted()
    assert Store(folder, WEIGHTS).fill(ones)
    for one, array in zip(ones, arrays, strict=True):
        assert one.filters.has(one.key)
        got = one.filters.prepacked(one.key)
        np.testing.assert_array_equal(got, array)
        assert got.ctypes.data % 64 == 0
        assert not got.flags.writeable
        assert not got.flags.owndata


def test_another_file_other_weights_or_another_choice_find_nothing(folder):
    kept(folder)
    assert not Store(folder, WEIGHTS).fill(wanted(seed=1))
    others = wanted()
    others[0] = others[0]._replace(key=Key(2, "panels"))
    assert not Store(folder, WEIGHTS).fill(others)
    assert not Store(folder, WEIGHTS).fill(wanted()[:2])
    others = wanted()
    others[0] = others[0]._replace(filters=Filters(conv(64, 64, 3, 1, stride=2)))  # as an option of the network may set
    assert not Store(folder, WEIGHTS).fill(others)
    assert not Store(folder / "nowhere", WEIGHTS).fill(wanted())


def test_another_blas_finds_nothing(folder, monkeypatch):
    kept(folder)
    monkeypatch.setattr(prepared.blas, "versions", lambda: ["another"])
    assert not Store(folder, WEIGHTS).fill(wanted())


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
    store = Store(folder, WEIGHTS)
    assert not store.fill(ones)
    assert not any(one.filters.has(one.key) for one in ones)
    keep(store, ones)
    assert path.read_bytes() == whole
    assert store.fill(wanted())


def test_a_hole_is_noticed_also_beside_dead_filters(folder):
    """All their numbers are 0, like the first of a whole panel here."""

    def with_dead_filters() -> list[Wanted]:
        node = conv(256, 64, 3, 1)
        weight = np.array(node.params["weight"])
        weight[::64] = 0
        return [Wanted("a", Filters(node.evolve(params={**node.params, "weight": weight})), Key(0, "panels"))]

    store = Store(folder, WEIGHTS)
    ones = with_dead_filters()
    ones[0].filters.prepacked(ones[0].key)
    keep(store, ones)
    (path,) = folder.glob("*.prepared")
    raw = path.read_bytes()
    assert store.fill(with_dead_filters())
    for page in range(1, len(raw) // 4096 - 1, 7):
        path.write_bytes(raw[: page * 4096] + bytes(4096) + raw[(page + 1) * 4096 :])
        assert not store.fill(with_dead_filters()), page


def test_a_folder_in_the_files_place_is_no_error(folder):
    path, _ = kept(folder)
    path.unlink()
    path.mkdir()
    ones = wanted()
    assert not Store(folder, WEIGHTS).fill(ones)
    keep(Store(folder, WEIGHTS), ones)
    assert path.is_dir()


def test_no_folder_can_be_made(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    store = Store(tmp_path / "file" / "prepared", WEIGHTS)
    keep(store, wanted())
    assert not store.fill(wanted())


def test_a_checkpoint_that_changes_while_it_is_prepacked_is_not_kept(folder):
    ones = wanted()
    before = checksum_of_all(ones)
    weight = np.array(ones[2].filters.weight)
    weight[77, 5, 1, 1] += 1  # none of the samples in the head
    ones[2].filters.weight = weight
    store = Store(folder, WEIGHTS)
    store.keep(ones, before)
    assert not folder.exists()
    assert (store.file, store.problem) == (None, "the weight file was changed meanwhile")


def same_file_other_weights() -> list[Wanted]:
    ones = wanted()
    weight = np.array(ones[0].filters.weight)
    weight[33, 21, 1, 2] += 1
    ones[0].filters.weight = weight
    assert prepared.checksum(ones[0].filters) == prepared.checksum(wanted()[0].filters)
    return ones


@pytest.mark.parametrize("stamp", ["", "inode 8", "inode 7; settings 1", "x" * 400])
@pytest.mark.parametrize("team", [None, Team(2)], ids=["alone", "team"])
def test_without_the_same_stamp_all_weights_are_compared(folder, stamp, team):
    """A copy of the file, and a container's image, have another inode and time."""
    kept(folder)
    other = Identity("copy.npz", stamp)
    ones = same_file_other_weights()
    assert not Store(folder, other).fill(ones, team)
    assert not any(one.filters.has(one.key) for one in ones)
    assert Store(folder, other).fill(wanted(), team)


def test_that_another_file_has_the_same_weights_is_noted(folder, monkeypatch):
    """As the one that was converted: its weights are compared once."""
    path, _ = kept(folder)
    other = Identity("source.pth", "inode 8")
    assert Store(folder, other).fill(wanted())
    with monkeypatch.context() as patch:
        patch.setattr(prepared, "checksum_of_all", None)
        for content in (other, WEIGHTS):
            assert Store(folder, content).fill(wanted())
    assert not Store(folder, Identity("x", "inode")).fill(same_file_other_weights())
    path.unlink()
    ones = same_file_other_weights()
    keep(Store(folder, WEIGHTS), ones)  # under the same name: what was noted holds for it no longer
    assert not Store(folder, other).fill(wanted())
    for number in range(300):
        assert Store(folder, Identity("x", f"inode {number + 20}")).fill(same_file_other_weights())
    assert path.with_suffix(".loaded").stat().st_size < 9000


@pytest.mark.parametrize("stamp", ["", "x" * 400])
def test_no_stamp_equals_no_stamp_of_another_file(folder, stamp):
    store = Store(folder, Identity("w.npz", stamp))
    ones = wanted()
    keep(store, ones)
    assert not store.fill(same_file_other_weights())
    assert store.fill(wanted())


def test_500_flipped_bits_are_all_noticed(folder):
    """Anywhere in the file: head, record, checks, numbers and padding."""
    path, _ = kept(folder)
    good, store, ones = path.read_bytes(), Store(folder, WEIGHTS), wanted()
    rng = random.Random(20)
    with open(path, "r+b") as file:
        for trial in range(500):
            at = trial % 4500 if trial < 100 else rng.randrange(len(good))
            for byte in (good[at] ^ 1 << rng.randrange(8), good[at]):
                file.seek(at)
                file.write(bytes([byte]))
                file.flush()
                if byte != good[at]:
                    assert not store.fill(ones), at
    assert store.fill(ones)


@pytest.mark.parametrize("piece", [4, 8, 512, 4096, 64 * 1024])
@pytest.mark.parametrize("kind", ["zeros", "noise", "copied", "exchanged"])
def test_other_damage_is_noticed(folder, kind, piece):
    path, _ = kept(folder)
    good, store, rng = path.read_bytes(), Store(folder, WEIGHTS), random.Random(piece)
    for _ in range(3):
        raw = bytearray(good)
        at, other = (rng.randrange(2, len(raw) // piece) * piece for _ in range(2))
        there = slice(at, at + piece), slice(other, other + piece)
        if kind == "exchanged":
            raw[there[0]], raw[there[1]] = raw[there[1]], raw[there[0]]
        else:
            raw[there[0]] = {"zeros": bytes(piece), "noise": rng.randbytes(piece), "copied": raw[there[1]]}[kind]
        path.write_bytes(raw)
        assert store.fill(wanted()) == (raw == good)


def test_arrays_that_were_exchanged_are_noticed(folder):
    """Two layers of one shape."""

    def twins() -> list[Wanted]:
        return [Wanted(name, Filters(conv(64, 64, 1, 1, seed=seed)), Key(0, "gemm")) for seed, name in enumerate("ab")]

    store = Store(folder, WEIGHTS)
    keep(store, twins())
    (path,) = folder.glob("*.prepared")
    raw, size = path.read_bytes(), 64 * 64 * 4
    path.write_bytes(raw[: -2 * size] + raw[-size:] + raw[-2 * size : -size])
    assert not store.fill(twins())


def test_another_files_copy_in_its_place_is_refused(folder):
    path, _ = kept(folder)
    keep(Store(folder, Identity("b.npz", "inode 8")), wanted(seed=1))
    (other,) = set(folder.glob("*.prepared")) - {path}
    shutil.copy(other, path)
    assert not Store(folder, WEIGHTS).fill(wanted())


def test_the_factors_of_a_check_are_odd_and_different():
    factors = prepared_file._factors()
    assert (factors % 2 == 1).all()
    assert len(set(factors.tolist())) == len(factors) == 512


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
