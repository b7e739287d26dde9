"""A file of prepared weights that is damaged anywhere, or another one in its place, counts as none."""

from __future__ import annotations

import random
import shutil

import numpy as np
import pytest

from npresnet.cpu.compiler import prepared_file
from npresnet.cpu.compiler.prepared import Store, Wanted
from npresnet.cpu.kernels.filters import Filters, Key
from npresnet.system.stamp import Identity
from tests.cpu.kernels.test_filters import conv
from tests.support.prepared_weights import WEIGHTS, keep, kept, wanted


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
