"""`prepare` and `convert` write prepared weights, which the first load then uses."""

from __future__ import annotations

import numpy as np
import pytest

import npresnet
from npresnet.cpu.kernels.filters import Filters
from tests.support.small import ARCH

X = np.random.default_rng(0).standard_normal((1, 3, 32, 32), np.float32)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NPRESNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NPRESNET_PREPARED")
    return tmp_path / "cache" / "prepared"


@pytest.fixture
def path(tmp_path):
    npresnet.build("cifar_resnet20", seed=1).save(tmp_path / "net.npz")
    return tmp_path / "net.npz"


def is_prepared(path, x=X, **how) -> bool:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Filters, "_make", None)
        try:
            npresnet.load(path, **how)(x)
        except TypeError:
            return False
        return True


def test_prepare_writes_what_the_first_load_needs(folder, path):
    assert not is_prepared(path, threads=1)
    file = npresnet.prepare(path, threads=1)
    assert list(folder.glob("*.prepared")) == [file]
    assert is_prepared(path, threads=1)
    before = file.stat()
    assert npresnet.prepare(path, threads=1) == file
    assert file.stat().st_mtime_ns == before.st_mtime_ns


def test_prepare_for_other_sizes_batches_and_options(folder, path):
    made = {
        npresnet.prepare(path, threads=1),
        npresnet.prepare(path, threads=1, winograd=False),
        npresnet.prepare(path, threads=1, batch_size=8, input_size=(3, 96, 64)),
    }
    assert is_prepared(path, threads=1)
    assert is_prepared(path, threads=1, winograd=False)
    assert is_prepared(path, np.zeros((8, 3, 96, 64), np.float32), threads=1)
    assert made == set(folder.glob("*.prepared"))


def test_convert_prepares_the_new_file(folder, path, tmp_path):
    npresnet.convert(path, tmp_path / "new.npz")
    assert is_prepared(tmp_path / "new.npz")
    assert len(list(folder.glob("*.prepared"))) == 1


def test_convert_works_where_nothing_can_be_prepared(folder, path, tmp_path):
    (tmp_path / "cache").write_text("a file in the folder's place")
    expected = npresnet.load(path)(X)
    np.testing.assert_array_equal(npresnet.load(npresnet.convert(path, tmp_path / "new.npz"))(X), expected)


def test_what_is_prepared_for_one_file_serves_its_copies(folder, path, tmp_path):
    npresnet.prepare(path, threads=1)
    (tmp_path / "copy.npz").write_bytes(path.read_bytes())
    assert is_prepared(tmp_path / "copy.npz", threads=1)


def test_prepare_says_why_it_cannot(folder, path, tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("")
    with pytest.raises(npresnet.DeviceError, match=r"(?s)Not a directory.*NPRESNET_CACHE moves it"):
        npresnet.prepare(path)
    with pytest.raises(npresnet.CheckpointError, match="no such file"):
        npresnet.prepare(tmp_path / "missing.npz")
    with pytest.raises(npresnet.ShapeError):
        npresnet.prepare(path, input_size=(4, 32, 32))
    with pytest.raises(npresnet.ShapeError, match="at least one image"):
        npresnet.prepare(path, batch_size=0)
    monkeypatch.setenv("NPRESNET_PREPARED", "0")
    with pytest.raises(npresnet.DeviceError, match="NPRESNET_PREPARED is 0"):
        npresnet.prepare(path)


def test_settings_that_change_weights_are_not_mistaken_for_others(folder, tmp_path):
    """The epsilon of BatchNorm is in the scale."""
    npresnet.build(ARCH, num_classes=3, seed=2).save(tmp_path / "net.npz")
    x = np.random.default_rng(1).standard_normal((1, 3, 64, 64), np.float32)
    for eps in (1e-5, 0.1, 1e-5, 0.1):
        got = npresnet.load(tmp_path / "net.npz", bn_eps=eps, threads=1)(x)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("NPRESNET_PREPARED", "0")
            np.testing.assert_array_equal(got, npresnet.load(tmp_path / "net.npz", bn_eps=eps, threads=1)(x))
    assert len(list(folder.glob("*.prepared"))) == 2
