from __future__ import annotations

import inspect
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import npresnet
from npresnet.errors import ArchitectureError
from npresnet.network import INPUT, Network, Node
from npresnet.ops.registry import ACTIVATIONS
from npresnet.teach import rungs as by_hand_rungs
from npresnet.teach.ladder import RealLayer, climb, find_layer, text
from npresnet.teach.ladder.climb import activation_rounding, steepness
from npresnet.teach.ladder.rungs import Rung, cpu_rungs
from npresnet.teach.ladder.showing import band_of, why_bands, why_columns
from npresnet.window import Window

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
    with pytest.raises(ArchitectureError, match=r"'layer1\.0\.conv9' is not a convolution .* layer1\.0\.conv"):
        layer_of(models, "resnet18", "layer1.0.conv9")
    with pytest.raises(ArchitectureError, match="is not a convolution"):
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


def layer_with(activation: str, **attrs: float) -> RealLayer:
    """A convolution with BatchNorm and residual that ends in an activation."""
    rng = np.random.default_rng(5)
    norm = {
        role: rng.uniform(0.5, 2, 16).astype(np.float32) for role in ("running_mean", "running_var", "weight", "bias")
    }
    weight = rng.standard_normal((16, 16, 3, 3), np.float32) / 8
    nodes = (
        Node("conv", "conv2d", (INPUT,), Window.of(3, 1, 1), params={"weight": weight}),
        Node("norm", "batch_norm", ("conv",), attrs={"eps": 1e-5}, params=norm),
        Node("sum", "add", ("norm", INPUT)),
        Node("last", activation, ("sum",), attrs=attrs),
    )
    network = Network(nodes, {"y": "last"})
    return find_layer(SimpleNamespace(network=network), "conv", 3 * rng.standard_normal((1, 16, 5, 4), np.float32))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_rung_ends_in_the_layer_s_own_activation(activation):
    layer = layer_with(activation, **dict.fromkeys(ACTIVATIONS[activation].attrs, 0.25))
    assert (layer.node.activation, layer.residual is not None) == (activation, True)
    found = climb(layer, model="", image="", seconds=0.0)
    assert [step.status for step in found.steps] == ["equal"] * 5
    assert found.to_dict()["shape"]["activation"] == activation


def test_another_activation_is_not_equal():
    """Forgotten, or one that resembles it."""
    layer = layer_with("silu")

    def with_activation(name: str | None) -> Rung:
        def prepare(layer):
            changed = replace(layer, node=layer.node.evolve(activation=name))
            return cpu_rungs()[2].prepare(changed)

        return Rung("planted", "another activation", prepare, 1)

    for name, verdict in (("silu", "equal"), (None, "not equal"), ("hard_swish", "not equal"), ("gelu", "not equal")):
        (step,) = climb(layer, model="", image="", seconds=0.0, rungs=[with_activation(name)]).steps
        assert step.status.startswith(verdict), name


def test_an_activation_s_rounding_is_allowed_for_only_where_it_rounds():
    sums = np.arange(-40.0, 41.0).reshape(1, 1, 9, 9)
    for activation in ACTIVATIONS:
        allowed = activation_rounding(layer_with(activation), sums)
        assert (np.max(allowed) == 0) == (activation in ("relu", "relu6", "hard_mish")), activation
        assert np.max(allowed) <= 1e-6 * 40
        assert steepness(layer_with(activation)) <= 1.76  # of SELU; GELU 1.13, SiLU 1.1
    assert steepness(layer_with("relu")) == 1


def test_nan_is_not_equal(models):
    layer = layer_of(models, "resnet18", "layer1.0.conv1")

    def prepare(layer):
        out = np.array(cpu_rungs()[2].prepare(layer)())
        out[0, 3, 2, 1] = np.nan
        return lambda: out

    (step,) = climb(layer, model="", image="", seconds=0.0, rungs=[Rung("planted", "NaN", prepare, 1)]).steps
    assert step.status == f"not equal: 1 of {np.prod(layer.out_shape)} whole numbers are wrong"


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


# --- what a rung shows of itself --------------------------------------------------------------------------------------


def timed_as(*times_ms: float) -> list[Rung]:
    """The CPU's rungs with these times instead of the host's clock."""
    return [rung._replace(clock=lambda layer, ms=ms: ms) for rung, ms in zip(cpu_rungs(), times_ms, strict=True)]


def test_a_rung_that_gains_nothing_says_why(models):
    layer = layer_of(models, "resnet18", "layer1.0.conv1")  # 64 channels, 12 x 10: columns of 276 kB
    told = climb(layer, model="", image="", seconds=0.0, rungs=timed_as(9, 2, 3, 3, 1))
    notes = [step.note for step in told.steps]
    assert notes[:2] == ["", ""]
    assert "Not faster here than tap by tap. The columns are 0.28 MB, 9.0 times the input" in notes[2]
    assert "instead of 9" in notes[2]
    assert "64 filters of 64 channels" in notes[2]
    assert "Not faster here than im2col + GEMM. The columns of the whole layer, 0.28 MB, fit the cache" in notes[3]
    assert notes[4] == ""
    assert f"tiled and fused: {notes[3]}" in text.to_text(told)
    assert told.to_dict()["steps"][3]["note"] == notes[3]
    better = climb(layer, model="", image="", seconds=0.0, rungs=timed_as(9, 4, 3, 2, 1))
    assert [step.note for step in better.steps] == [""] * 5


def test_large_columns_are_made_in_bands_and_one_tap_is_one_product(models):
    layer = layer_of(models, "resnet18", "layer1.0.conv1")
    wide = replace(layer, x=np.zeros((1, 64, 60, 200), np.float32))  # a row of columns: 460,800 bytes
    assert band_of(wide) == 2
    assert "30 bands of 2 rows" in why_bands(wide)
    assert band_of(replace(layer, x=np.zeros((1, 64, 60, 2000), np.float32))) == 1
    assert band_of(layer) == 12
    assert "With one tap" in why_columns(layer_of(models, "resnet50", "layer1.0.conv3"))


def test_the_code_is_the_rung_s_own(models):
    layer = layer_of(models, "resnet18", "layer1.0.conv1")
    found = climb(layer, model="", image="", seconds=0.0)
    codes = [step.code for step in found.steps]
    assert codes[0] == inspect.getsource(by_hand_rungs.seven_loops).strip()
    assert "def tap_by_tap(" in codes[1]
    assert "def conv2d(" in codes[2]
    assert "def im2col(" in codes[2]
    assert "def tiled_and_fused(" in codes[3]
    assert codes[4].startswith("# winograd")
    assert "matmul(float32[" in codes[4]
    assert all("code" not in step for step in found.to_dict()["steps"])
    assert json.dumps("def tap_by_tap(")[1:-1] in text.to_page(found)
