"""Writing .npz: round trip, aligned for mapping, readable by plain NumPy, and atomic."""

from __future__ import annotations

import json
import os
import zipfile

import numpy as np
import pytest

from npresnet import weights
from npresnet.errors import CheckpointError
from npresnet.weights import npz_write

METADATA = {
    "arch": "resnet18",
    "labels": ["ants", "bees", "größe 模型"],
    "sizes": [1, 2.5, None, True],
    "nested": {"a": {}},
}


def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    base = rng.standard_normal((6, 8, 3))
    return {
        "conv1.weight": rng.standard_normal((4, 3, 3, 3)).astype("f4"),
        "float64": base,
        "half": base.astype("f2"),
        "counter": np.array(123456789012, "i8"),
        "flags": np.array([True, False, True]),
        "bytes": np.arange(7, dtype="u1"),
        "empty": np.zeros((0, 3), "f4"),
        "fortran": np.asfortranarray(base),
        "transposed": base.T,
        "strided": base[::2, ::-3, 1],
        "swapped": base.astype(">f8"),
        "zero-d": np.float32(1.5),
        "größe 模型": np.ones(3, "i2"),
        "with / slash and space": np.ones(2),
        "a.npy": np.ones(2, "f4"),
        "nan": np.array([np.nan, np.inf, -0.0]),
    }


def test_round_trip(tmp_path):
    path = tmp_path / "weights.npz"
    weights.write_npz(path, arrays(), METADATA)
    checkpoint = weights.read(path)
    assert checkpoint.metadata == METADATA
    assert list(checkpoint.tensors) == list(arrays())
    for name, expected in arrays().items():
        found = checkpoint.tensors[name]
        assert (found.shape, found.dtype) == (np.shape(expected), expected.dtype.newbyteorder("=")), name
        assert found.tobytes() == np.asarray(expected, expected.dtype.newbyteorder("=")).tobytes(), name
    assert "__npresnet__" not in weights.read_state_dict(path)


def test_plain_numpy_reads_it(tmp_path):
    weights.write_npz(tmp_path / "w.npz", arrays(), METADATA)
    with np.load(tmp_path / "w.npz", allow_pickle=False) as loaded:
        for name, expected in arrays().items():
            key = name if name in loaded else f"{name}.npy"
            assert np.array_equal(loaded[key], expected, equal_nan=True), name
        assert json.loads(str(loaded["__npresnet__"])) == METADATA
    with zipfile.ZipFile(tmp_path / "w.npz") as archive:
        assert archive.testzip() is None


def test_elements_are_mapped_and_start_on_64_bytes(tmp_path):
    tensors = {f"{'x' * n}.weight": np.full(n * 1000 + 1, n, "f4") for n in range(1, 70)}
    weights.write_npz(tmp_path / "w.npz", tensors, {})
    found = weights.read_state_dict(tmp_path / "w.npz")
    addresses = [array.__array_interface__["data"][0] for array in found.values()]
    assert all(address % 64 == 0 for address in addresses)
    assert addresses == sorted(addresses)
    assert max(addresses) - min(addresses) < (tmp_path / "w.npz").stat().st_size, "all in one mapping"


def test_members_of_2_gib_have_zip64_fields_and_stay_aligned(tmp_path, monkeypatch):
    monkeypatch.setattr(npz_write, "_ZIP64_FROM_BYTES", 1000)
    tensors = {"small": np.ones(3), "large": np.arange(1000.0), "after": np.ones(5)}
    weights.write_npz(tmp_path / "w.npz", tensors, {})
    found = weights.read_state_dict(tmp_path / "w.npz")
    assert all(np.array_equal(found[name], array) for name, array in tensors.items())
    assert all(array.__array_interface__["data"][0] % 64 == 0 for array in found.values())
    with np.load(tmp_path / "w.npz") as loaded:
        assert np.array_equal(loaded["large"], tensors["large"])


def test_output_is_deterministic(tmp_path):
    for name in ("1.npz", "2.npz"):
        weights.write_npz(tmp_path / name, arrays(), METADATA)
    assert (tmp_path / "1.npz").read_bytes() == (tmp_path / "2.npz").read_bytes()


def test_npz_written_again_from_itself(tmp_path):
    path = tmp_path / "w.npz"
    weights.write_npz(path, arrays(), {"n": 1})
    if os.name == "nt":
        pytest.skip("a mapped file cannot be replaced on Windows")
    tensors = weights.read_state_dict(path)
    weights.write_npz(path, tensors, {"n": 2})
    again = weights.read(path)
    assert again.metadata == {"n": 2}
    assert all(np.array_equal(again.tensors[name], tensor, equal_nan=True) for name, tensor in tensors.items())


@pytest.mark.parametrize(
    ("tensors", "metadata", "error"),
    [
        ({"w": np.array([None])}, {}, CheckpointError),
        ({"w": np.array(["a"])}, {}, CheckpointError),
        ({"w": np.ones(2, "c8")}, {}, CheckpointError),
        ({"w": np.zeros(2, "f4,i4")}, {}, CheckpointError),
        ({"__npresnet__": np.ones(2)}, {}, CheckpointError),
        ({"nul\0name": np.ones(2)}, {}, CheckpointError),
        ({"\udc80": np.ones(2)}, {}, CheckpointError),
        ({"x" * 70_000: np.ones(2)}, {}, CheckpointError),
        ({"w": np.ones(2)}, {"a": object()}, TypeError),
        ({"w": np.ones(2)}, {"a": float("nan")}, ValueError),
    ],
)
def test_invalid_input_leaves_the_old_file_unchanged(tmp_path, tensors, metadata, error):
    path = tmp_path / "w.npz"
    path.write_bytes(b"precious")
    with pytest.raises(error):
        weights.write_npz(path, {"first": np.ones(1000), **tensors}, metadata)
    assert path.read_bytes() == b"precious"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_half_way_leaves_nothing_behind(tmp_path, monkeypatch):
    path = tmp_path / "w.npz"
    path.write_bytes(b"precious")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np.lib.format, "write_array", full)
    with pytest.raises(CheckpointError, match="No space left"):
        weights.write_npz(path, {"w": np.ones(2)}, {})
    assert path.read_bytes() == b"precious"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupt_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(np.lib.format, "write_array", interrupted)
    with pytest.raises(KeyboardInterrupt):
        weights.write_npz(tmp_path / "w.npz", {"w": np.ones(2)}, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("where", "match"),
    [("missing/w.npz", "folder .*missing does not exist; create it"), ("", "is a folder"), ("file/w.npz", "file")],
)
def test_destinations_that_cannot_be_written(tmp_path, where, match):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CheckpointError, match=match):
        weights.write_npz(tmp_path / where, {"w": np.ones(2)}, {})


def test_a_current_folder_that_was_deleted(deleted_folder, tmp_path):
    with pytest.raises(CheckpointError, match=r"w\.npz cannot be written: the current folder was deleted"):
        weights.write_npz("w.npz", {"w": np.ones(2)}, {})
    weights.write_npz(tmp_path / "w.npz", {"w": np.ones(2)}, {})


def test_a_link_stays_a_link(tmp_path):
    real, link = tmp_path / "real.npz", tmp_path / "link.npz"
    real.write_bytes(b"old")
    try:
        link.symlink_to(real)
    except OSError:
        pytest.skip("links need a privilege on this system")
    weights.write_npz(link, {"w": np.ones(2)}, {})
    assert link.is_symlink()
    assert weights.read_state_dict(real)["w"].tolist() == [1, 1]


def test_the_new_file_has_usual_permissions(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    weights.write_npz(tmp_path / "w.npz", {"w": np.ones(2)}, {})
    assert (tmp_path / "w.npz").stat().st_mode == (tmp_path / "plain").stat().st_mode
