"""config.json and preprocessor_config.json beside a weight file: timm's and transformers'."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from npresnet import weights
from tests.support.torchvision_import import import_torchvision

TIMM = {
    "architecture": "resnetblur50", "num_classes": 3, "num_features": 2048, "global_pool": "avg",
    "pretrained_cfg": {
        "input_size": [3, 96, 96], "crop_pct": 0.95, "crop_mode": "center", "interpolation": "bicubic",
        "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.1], "num_classes": 3,
    },
}  # fmt: skip
RESNET = {
    "model_type": "resnet", "architectures": ["ResNetForImageClassification"], "layer_type": "bottleneck",
    "depths": [1, 2, 1], "hidden_sizes": [16, 32, 64], "downsample_in_first_stage": False, "hidden_act": "relu",
    "id2label": {"0": "ants", "1": "bees"}, "label2id": {"ants": 0, "bees": 1},
}  # fmt: skip
CONVNEXT = {
    "crop_pct": 0.875, "do_normalize": True, "do_resize": True, "feature_extractor_type": "ConvNextFeatureExtractor",
    "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225], "resample": 3, "size": 224,
}  # fmt: skip


def checkpoint(folder: Path, config: object = None, processor: object = None, name: str = "model.safetensors"):
    save_file({"w": np.ones((2, 2), "f4")}, folder / name)
    for file, value in (("config.json", config), ("preprocessor_config.json", processor)):
        if value is not None:
            (folder / file).write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return weights.read(folder / name)


def test_timm(tmp_path):
    facts = checkpoint(tmp_path, TIMM).facts
    assert (facts["arch"], facts["arch_from"]) == ("resnetblur50", "config.json: architecture")
    assert facts["num_classes"] == 3
    assert facts["preprocess"] == {
        "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.1], "interpolation": "bicubic", "resize": 101, "crop": 96
    }  # fmt: skip
    assert facts["network"]["global_pool"] == "avg"


def test_timm_with_everything_at_the_top_level_and_descriptions(tmp_path):
    cfg = TIMM["pretrained_cfg"] | {"architecture": "resnet26d.bt_in1k", "crop_pct": None, "interpolation": ""}
    names = {"label_names": ["n01", "n02", "n03"], "label_descriptions": {"n01": "ants", "n03": "cats"}}
    facts = checkpoint(tmp_path, {**cfg, **names}).facts
    assert facts["arch"] == "resnet26d"
    assert facts["labels"] == ["ants", "n02", "cats"]
    assert (facts["preprocess"]["resize"], facts["preprocess"]["crop"]) == (109, 96)  # timm's crop_pct is 0.875
    assert facts["preprocess"]["interpolation"] == "bicubic"  # timm's default


@pytest.mark.parametrize(
    "change", [{"input_size": [3, 96, 64]}, {"input_size": "x"}, {"crop_pct": "x"}, {"crop_mode": "squash"}]
)
def test_timm_preprocessing_of_another_kind(tmp_path, change):
    facts = checkpoint(tmp_path, {**TIMM, "pretrained_cfg": TIMM["pretrained_cfg"] | change}).facts
    assert "crop" not in facts.get("preprocess", {})
    assert facts["arch"] == "resnetblur50"


def test_timm_agrees_with_timm(tmp_path):
    """timm's own settings of a published network, and the sizes that its transforms have."""
    import_torchvision()
    timm_data = pytest.importorskip("timm.data", reason="timm is not installed")
    cfg = {**TIMM["pretrained_cfg"], "input_size": [3, 176, 176], "crop_pct": 0.965}
    transforms = timm_data.create_transform(**timm_data.resolve_data_config(pretrained_cfg=cfg)).transforms
    facts = checkpoint(tmp_path, {**TIMM, "pretrained_cfg": cfg}).facts
    assert facts["preprocess"]["resize"] == transforms[0].size
    assert (facts["preprocess"]["crop"],) * 2 == tuple(transforms[1].size)


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        ({}, None),
        ({"downsample_in_bottleneck": True}, {"stride_on": "1x1"}),
        ({"downsample_in_bottleneck": False}, {"stride_on": "3x3"}),
        ({"downsample_in_bottleneck": True, "layer_type": "basic"}, None),
        ({"hidden_act": "gelu"}, {"activation": "gelu"}),
        ({"downsample_in_bottleneck": True, "model_type": "van"}, None),
    ],
)
def test_transformers(tmp_path, settings, options):
    facts = checkpoint(tmp_path, RESNET | settings).facts
    assert facts["labels"] == ["ants", "bees"]
    assert facts.get("options") == options
    assert facts["network"]["depths"] == [1, 2, 1]
    assert facts["network"]["downsample_in_first_stage"] is False


def test_placeholders_are_no_names(tmp_path):
    assert "labels" not in checkpoint(tmp_path, RESNET | {"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}).facts


CENTRE = {"do_center_crop": True, "crop_size": {"height": 96, "width": 96}, "feature_extractor_type": "CLIPImage"}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, (256, 224, "bicubic")),
        ({"size": {"shortest_edge": 224}}, (256, 224, "bicubic")),
        ({"size": 96, "crop_pct": 0.95}, (101, 96, "bicubic")),
        ({"size": 96, "crop_pct": None}, (109, 96, "bicubic")),
        ({"size": {"shortest_edge": 384}, "resample": 2}, ([384, 384], None, "bilinear")),
        ({"size": {"height": 90, "width": 80}, "crop_pct": 0.9}, None),
        ({"crop_pct": "x"}, None),
        ({"resample": 9}, None),
        ({"resample": "bicubic"}, None),
        ({"size": {"longest_edge": 100}}, None),
        ({"image_mean": None}, None),
        ({"rescale_factor": 1 / 127.5}, None),
        ({"do_rescale": False}, None),
        ({"rescale_factor": 0.00392156862745098}, (256, 224, "bicubic")),
    ],
)
def test_processors_of_resnets(tmp_path, settings, expected):
    found = checkpoint(tmp_path, RESNET, CONVNEXT | settings)
    if expected is None:
        assert "preprocess" not in found.facts
        assert "preprocessor_config.json" in found.notes[0]
    else:
        got = found.facts["preprocess"]
        assert (got["resize"], got["crop"], got["interpolation"]) == expected
        assert got["mean"] == CONVNEXT["image_mean"]


@pytest.mark.parametrize(
    ("settings", "resize", "crop"),
    [
        ({"size": {"height": 90, "width": 80}}, [90, 80], None),
        ({"size": 90}, 90, None),
        (CENTRE | {"size": {"shortest_edge": 100}}, 100, [96, 96]),
        (CENTRE | {"size": 100, "crop_size": 96}, 100, 96),
        (CENTRE | {"do_resize": False}, None, [96, 96]),
        (CENTRE | {"crop_size": None}, "ignored", None),
    ],
)
def test_other_processors(tmp_path, settings, resize, crop):
    rest = {key: value for key, value in CONVNEXT.items() if key not in ("crop_pct", "feature_extractor_type")}
    found = checkpoint(tmp_path, None, rest | settings).facts.get("preprocess", {"resize": "ignored", "crop": None})
    assert (found["resize"], found["crop"]) == (resize, crop)


def test_a_processor_wins_over_the_configuration(tmp_path):
    facts = checkpoint(tmp_path, TIMM, CONVNEXT | {"do_normalize": False}).facts
    assert facts["preprocess"]["crop"] == 224
    assert (facts["preprocess"]["mean"], facts["preprocess"]["std"]) == ([0.0] * 3, [1.0] * 3)


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", '{"a": NaN}', '{"a": 1, "a": 2}', "\ud800".encode("utf-8", "surrogatepass"), "[" * 10**5]
)
def test_damaged_configurations_are_noted(tmp_path, text):
    (tmp_path / "config.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    found = checkpoint(tmp_path)
    assert found.facts == {}
    assert found.notes[0].startswith("config.json beside it was ignored")


@pytest.mark.parametrize(
    "config",
    [{"lr": 0.1, "model": "x"}, {"architecture": ["resnet50"]}, {"architecture": {}}, {"model_type": 3, "id2label": 7}],
)
def test_configurations_of_other_programs(tmp_path, config):
    found = checkpoint(tmp_path, config)
    assert (found.facts, found.notes) == ({}, [])


@pytest.mark.parametrize("key", [*TIMM, *TIMM["pretrained_cfg"], *RESNET, *CONVNEXT])
@pytest.mark.parametrize("value", [None, -1, 1e-320, 1e308, "x", [None], [[]], {"x": []}, {"0": {}}])
def test_values_of_the_wrong_type(tmp_path, key, value):
    """Never a crash, whatever stands there."""
    cfg = {name: value if name == key else known for name, known in TIMM["pretrained_cfg"].items()}
    for config in (TIMM | {"pretrained_cfg": cfg, **({key: value} if key in TIMM else {})}, RESNET | {key: value}):
        checkpoint(tmp_path, config, CONVNEXT | {key: value})


def test_whose_configuration_it_is(tmp_path):
    assert checkpoint(tmp_path, TIMM, name="best.safetensors").facts["arch"] == "resnetblur50"  # the only weights here
    assert checkpoint(tmp_path).facts["arch"] == "resnetblur50"  # the name that libraries write
    found = weights.read(tmp_path / "best.safetensors")  # no longer the only ones
    assert found.facts == {}
    assert found.notes == ["config.json beside it may belong to another weight file; not used"]


def test_npz_of_npresnet_has_its_own_settings(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(TIMM))
    weights.write_npz(tmp_path / "model.npz", {"w": np.ones(2)}, {"format": "npresnet"})
    assert weights.read(tmp_path / "model.npz").facts == {}
