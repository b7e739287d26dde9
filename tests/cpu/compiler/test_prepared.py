"""Prepared weights: what is kept is found again, and nothing else is taken for it."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet.cpu.compiler import prepared
from npresnet.cpu.compiler.prepared import Store, checksum_of_all
from npresnet.cpu.kernels.filters import Filters, Key
from npresnet.cpu.runtime.workers import Team
from npresnet.system.stamp import Identity
from tests.cpu.kernels.test_filters import conv
from tests.support.prepared_weights import WEIGHTS, keep, kept, same_file_other_weights, wanted


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
