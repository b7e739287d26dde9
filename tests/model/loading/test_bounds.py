"""A file's preprocessing is bounded by the kind of its network; a caller's is not."""

from __future__ import annotations

import json

import pytest

import npresnet
from npresnet.config import Config, Decision
from npresnet.errors import ArchitectureError
from npresnet.images import Preprocess, preset
from npresnet.model.decisions import decide_preprocess
from npresnet.model.metadata import Source, Stored

# what the architecture suggests, whether it takes clips -> the limit
KINDS = [
    ("cifar10", False, 1024),
    ({"preset": "V1", "resize": 64, "crop": 64}, False, 1024),
    ("V1", False, 1024),
    ({"resize": 448, "crop": 448}, False, 1024),
    (None, False, 1024),
    ("kinetics", True, 320),
    ("detect-and-track", True, 320),
]


def decided(sizes, suggested="V1", takes_clips=False, given=None, told=False):
    """The preprocessing of a file with these sizes: npresnet's own, or one with a configuration beside it."""
    how = Preprocess(**{"resize": 32, "crop": 32, **sizes})
    stored = None if told else Stored(Config({}), how, None, Source("weights.npz"))
    facts = {"preprocess": how.to_dict(), "preprocess_from": "config.json"} if told else {}
    return decide_preprocess(given, stored, Decision(suggested, "default"), facts, 3, takes_clips)[1]


@pytest.mark.parametrize("told", [False, True], ids=["stored", "told"])
@pytest.mark.parametrize("field", ["resize", "crop"])
@pytest.mark.parametrize(("suggested", "takes_clips", "limit"), KINDS, ids=str)
def test_sizes_of_a_file_within_and_beyond(suggested, takes_clips, limit, field, told):
    within = decided({field: (limit, 24)}, suggested, takes_clips, told=told)
    assert getattr(within, field) == (limit, 24)
    where = "config.json" if told else "the file"
    words = f"preprocessing of {where} asks for {field} {limit + 1}; a file may ask for at most {limit} pixels"
    with pytest.raises(ArchitectureError, match=words) as refusal:
        decided({field: limit + 1}, suggested, takes_clips, told=told)
    # what the message offers works, in both spellings
    offered = {field: limit + 1}
    assert f"preprocess={offered}" in str(refusal.value)
    assert json.loads(str(refusal.value).partition("--preprocess '")[2].partition("'")[0]) == offered
    assert getattr(decided(offered, suggested, takes_clips, given=offered, told=told), field) == limit + 1


GIVEN = [
    ({}, "resize 4000 and crop 4000"),
    ({"exif": True}, "resize 4000 and crop 4000"),
    ({"resize": 64}, "asks for crop 4000"),
    ({"resize": 64, "crop": 64}, None),
    ({"preset": "V1", "crop": None}, None),
    ("V2", None),
    (Preprocess(), None),
]


@pytest.mark.parametrize("told", [False, True], ids=["stored", "told"])
@pytest.mark.parametrize(("given", "refused"), GIVEN, ids=str)
def test_what_the_caller_gives_instead(given, refused, told):
    if refused is None:
        assert decided({"resize": 4000, "crop": 4000}, given=given, told=told).resize != 4000
    else:
        with pytest.raises(ArchitectureError, match=refused):
            decided({"resize": 4000, "crop": 4000}, given=given, told=told)


def test_the_caller_is_not_bounded():
    for given in ({"resize": 8192, "crop": 8192}, Preprocess(resize=8192)):
        assert decided({}, given=given).resize == 8192


def test_a_saved_model_of_a_caller_asks_again(tmp_path):
    """A file cannot tell who asked when it was written."""
    with npresnet.build("cifar_resnet8", num_classes=10, preprocess={"resize": 1100, "crop": 1100}) as model:
        model.save(tmp_path / "large.npz")
    with pytest.raises(
        ArchitectureError, match="resize 1100 and crop 1100; a file may ask for at most 1024 pixels a side"
    ):
        npresnet.load(tmp_path / "large.npz")
    with npresnet.load(tmp_path / "large.npz", preprocess={"resize": 1100, "crop": 1100}) as model:
        assert preset(model.config["preprocess"].value).crop == 1100


def test_real_sizes_are_within():
    """Of published networks: BiT, NFNet, EfficientNet-L2's trunk size; Tiny ImageNet and STL-10; 3-D ResNets."""
    for side in (224, 288, 384, 448, 480, 512, 608, 800):
        decided({"resize": side, "crop": side})
    for side in (28, 32, 64, 96, 128, 224):
        decided({"resize": side, "crop": side}, "cifar10")
    decided({"resize": 256, "crop": 256}, "kinetics", True)
