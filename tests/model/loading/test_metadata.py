"""Metadata in a file: damaged or wrong metadata is refused, that of other programs is ignored."""

from __future__ import annotations

import pytest

import npresnet
from npresnet import weights
from tests.support.loaded import load
from tests.support.small import ARCH


def spoiled(metadata: dict, **changes) -> dict:
    """The metadata with some entries changed; `None` removes an entry."""
    return {name: value for name, value in {**metadata, **changes}.items() if value is not None}


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"version": "1"},
        {"config": None},
        {"config": []},
        {"config": {"arch": ARCH}},
        {"config": {"arch": {"value": ARCH}}},
        {"preprocess": "V1"},
        {"preprocess": {"size": 3}},
        {"preprocess": {"std": [0, 0, 0]}},
        {"labels": "abcdefghij"},
        {"labels": [1, 2, 3]},
        {"source": None},
        {"source": {"file": "x"}},
    ],
    ids=str,
)
def test_damaged_metadata(tmp_path, bare, tensors, changes):
    npresnet.convert(bare, bare)
    weights.write_npz(tmp_path / "spoiled.npz", tensors, spoiled(weights.read(bare).metadata, **changes))
    with pytest.raises(npresnet.CheckpointError, match=r"spoiled\.npz.*again"):
        load(tmp_path / "spoiled.npz")


@pytest.mark.parametrize(
    ("name", "value"),
    [("num_classes", 7), ("layers", [9, 9, 9]), ("arch", "resnet50"), ("bn_eps", "small"), ("max_pool", 3)],
)
def test_wrong_metadata_is_refused(tmp_path, bare, tensors, name, value):
    npresnet.convert(bare, bare)
    metadata = weights.read(bare).metadata
    metadata["config"][name] = {"value": value, "origin": "inferred", "note": ""}
    weights.write_npz(tmp_path / "lying.npz", tensors, metadata)
    with pytest.raises(npresnet.ArchitectureError):
        load(tmp_path / "lying.npz")


def test_other_metadata_is_ignored(tmp_path, tensors):
    weights.write_npz(tmp_path / "other.npz", tensors, {"format": "pt", "config": 3})
    with load(tmp_path / "other.npz") as model:
        assert model.config["arch"].origin == "inferred"
