from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import npresnet
from npresnet.errors import ArchitectureError
from npresnet.teach import rungs as by_hand_rungs
from npresnet.teach.ladder import climb, find_layer, text
from npresnet.teach.ladder.rungs import Rung, cpu_rungs

NAMES = ["seven loops", "tap by tap", "im2col + GEMM", "tiled and fused", "npresnet"]


@pytest.fixture(scope="module")
def models():
    """One of each kind: basic blocks, bottlenecks, groups and dilation."""
    dilated = {"replace_stride_with_dilation": [False, True, True]}
    return {
        "resnet18": npresnet.build("resnet18", num_classes=3),
        "resnet50": npresnet.build("resnet50", num_classes=3, **dilated),
        "resnext50_32x4d": npresnet.build("resnext50_32x4d", num_classes=3),
    }


def layer_of(models, name: str, layer: str | None):
    x = np.random.default_rng(0).standard_normal((1, 3, 48, 40), dtype=np.float32)
    return find_layer(models[name], layer, x)


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("resnet18", "conv1"),
        ("resnet18", "layer1.0.conv1"),
        ("resnet18", "layer2.0.conv2"),  # with a residual
        ("resnet18", "layer2.0.downsample.0"),
        ("resnet50", "layer1.0.conv3"),
        ("resnet50", "layer3.1.conv2"),  # dilated
        ("resnext50_32x4d", "layer1.0.conv2"),  # grouped
        ("resnext50_32x4d", "layer2.0.conv2"),  # grouped and strided
    ],
)
def test_every_rung_is_proved_equal_on_layers_of_each_kind(models, name, layer):
    found = climb(layer_of(models, name, layer), model=name, image="noise", seconds=0.0)
    assert [step.name for step in found.steps] == NAMES
    assert [step.status for step in found.steps] == ["equal"] * 5
    assert all(step.ms > 0 and step.lines > 0 for step in found.steps)
    assert all(step.computed == 1 for step in found.steps[1:])


def test_the_layer_is_the_network_s_own(models):
    layer = layer_of(models, "resnet18", "layer1.1.conv2")
    assert (layer.residual is not None, layer.node.activation) == (True, "relu")
    features = models["resnet18"].features(
        np.random.default_rng(0).standard_normal((1, 3, 48, 40), dtype=np.float32), ["layer1"]
    )
    out = np.array(cpu_rungs()[-1].prepare(layer)())
    np.testing.assert_allclose(out, features["layer1"], rtol=1e-4, atol=1e-5)


def test_the_costliest_layer_is_the_default_and_unknown_ones_are_refused(models):
    assert layer_of(models, "resnet18", None).name == "layer4.0.conv2"  # of images of 48x40
    with pytest.raises(ArchitectureError, match=r"'layer1\.0\.conv9' is no convolution .* layer1\.0\.conv"):
        layer_of(models, "resnet18", "layer1.0.conv9")
    with pytest.raises(ArchitectureError, match="is no convolution"):
        layer_of(models, "resnet18", "fc")


def wrong(change) -> Rung:
    def prepare(layer):
        changed = change(layer)
        return lambda: np.maximum(
            by_hand_rungs.im2col_product(changed.x, changed.weight, changed.window, changed.node.groups)
            + changed.bias[:, None, None],
            0,
        )

    return Rung("planted", "a fault", prepare, 1)


def test_a_rung_that_fails_shows_no_time(models):
    layer = layer_of(models, "resnet18", "layer1.0.conv1")
    faults = {
        "kh and kw swapped": lambda layer: replace(layer, weight=layer.weight.transpose(0, 1, 3, 2)),
        "one bias forgotten": lambda layer: replace(layer, bias=np.where(np.arange(64) == 3, 0, layer.bias)),
        "one weight": lambda layer: replace(
            layer, weight=np.where(layer.weight == layer.weight.max(), 0, layer.weight)
        ),
    }
    for change in faults.values():
        (step,) = climb(layer, model="", image="", seconds=0.0, rungs=[wrong(change)]).steps
        assert step.status.startswith("not equal: ")
        assert (step.ms, step.gflops) == (None, None)
    (sound,) = climb(layer, model="", image="", seconds=0.0, rungs=[wrong(lambda layer: layer)]).steps
    assert sound.status == "equal"


def test_half_precision_is_further_off_than_rounding_explains(models):
    def half(layer):
        return replace(layer, x=layer.x.astype(np.float16).astype(np.float32))  # whole numbers survive this

    layer = layer_of(models, "resnet18", "layer1.0.conv1")
    (step,) = climb(layer, model="", image="", seconds=0.0, rungs=[wrong(half)]).steps
    assert step.status.endswith("numbers are further off than rounding explains")


def test_what_is_told(models):
    found = climb(layer_of(models, "resnet18", "layer4.0.conv2"), model="resnet18", image="<b>.jpg", seconds=0.0)
    told = text.to_text(found)
    assert "layer4.0.conv2 of resnet18 on <b>.jpg: 1x512x2x2 -> 1x512x2x2, filters 512x512x3x3, stride 1" in told
    assert "of the layer was computed, the time is extrapolated" in told
    page = text.to_page(found)
    assert "<b>.jpg" not in page
    assert len(page) < 100_000
    again = json.loads(json.dumps(found.to_dict()))
    assert again["kind"] == "ladder"
    assert again["steps"][0]["computed"] < 1
