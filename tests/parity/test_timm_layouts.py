"""timm's ResNets beyond torchvision's: deep stems, average-pooled shortcuts, attention, GroupNorm, low-pass filters.

Small networks of timm's own class, one of each kind, in float64; names and options are tested without numbers.
"""

from __future__ import annotations

from functools import cache, partial

import numpy as np
import pytest

from npresnet import arch, ops
from npresnet.errors import ArchitectureError
from npresnet.network import Network
from tests.support.reference import randomised, run_double
from tests.support.torchvision_import import import_timm

timm = import_timm()
from timm.layers import BlurPool2d, get_attn  # noqa: E402
from timm.models.resnet import BasicBlock, Bottleneck, ResNet  # noqa: E402

torch = pytest.importorskip("torch", reason="torch is not installed")
nn = torch.nn

SMALL = {"layers": (2, 1, 1, 1), "channels": (32, 32, 64, 32), "num_classes": 5}
DEEP = {"stem_width": 16, "stem_type": "deep"}
TIERED = {"stem_width": 16, "stem_type": "deep_tiered"}
SE = {"block_args": {"attn_layer": "se"}}
ECA = {"block_args": {"attn_layer": "eca"}}
QUARTER = {"block_args": {"attn_layer": partial(get_attn("se"), rd_ratio=0.25)}}


def group_norm(channels: int, **_):
    return nn.GroupNorm(8, channels)


# kind -> (block, timm's arguments, what must be told, {decision: value})
KINDS = {
    "c": (Bottleneck, DEEP, {}, {"downsample": "conv", "stem": [[3, 2, 1], [3, 1, 1], [3, 1, 1]]}),
    "d": (BasicBlock, {**DEEP, "avg_down": True}, {}, {"downsample": "avg"}),
    "t": (Bottleneck, {**TIERED, "avg_down": True}, {}, {"stem_widths": [12, 16, 32]}),
    "d, se": (BasicBlock, {**DEEP, **SE, "avg_down": True}, {}, {"downsample": "avg", "attention": "se"}),
    "se": (BasicBlock, SE, {}, {"attention": "se", "family": "timm"}),
    "eca, groups": (Bottleneck, {**ECA, "cardinality": 4, "base_width": 32}, {}, {"attention": "eca", "groups": 4}),
    "rs": (Bottleneck, {**DEEP, **QUARTER, "avg_down": True, "replace_stem_pool": True}, {}, {"pool_conv": True}),
    "senet": (Bottleneck, {**DEEP, **SE, "down_kernel_size": 3, "block_reduce_first": 2}, {}, {"attention": "se"}),
    "group_norm": (
        Bottleneck,
        {"norm_layer": group_norm},
        {"norm_groups": 8},
        {"norm": "group_norm"},
    ),
    "aa": (Bottleneck, {"aa_layer": nn.AvgPool2d}, {"antialias": "avg"}, {}),
    "aa, d": (BasicBlock, {**DEEP, "aa_layer": nn.AvgPool2d, "avg_down": True}, {"antialias": "avg"}, {}),
    "blur": (BasicBlock, {"aa_layer": BlurPool2d}, {"antialias": "blur"}, {}),
    "blur, d": (Bottleneck, {**DEEP, "aa_layer": BlurPool2d, "avg_down": True}, {"antialias": "blur"}, {}),
    "stride 16": (BasicBlock, {"output_stride": 16}, {"output_stride": 16}, {}),
    "stride 8, d": (Bottleneck, {**DEEP, "avg_down": True, "output_stride": 8}, {"output_stride": 8}, {}),
    "silu": (BasicBlock, {"act_layer": "silu"}, {"activation": "silu"}, {}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_agrees_with_timm(kind):
    _, _, told, expected = KINDS[kind]
    network, config = arch.build(model(kind)[1], options=told)
    assert relative_error(network, kind) < 1e-10
    assert {name: config.value(name) for name in expected} == expected
    assert {name: config[name].origin for name in told} == dict.fromkeys(told, "caller")
    if told:
        plain, _ = arch.build(model(kind)[1], options={"norm_groups": 4} if "norm_groups" in told else {})
        assert relative_error(plain, kind) > 1e-3, "the option would not be needed"


def test_planted_faults_are_seen():
    """A shortcut that takes the maximum instead of the average, and a gate that is not applied."""
    network, _ = arch.build(model("d, se")[1])
    odd = (90, 70)  # layer1's map has 23 x 18 pixels
    assert relative_error(network, "d, se", odd) < 1e-10
    pool = next(node for node in network if node.op == "avg_pool2d")
    largest = pool.evolve(op="max_pool2d", attrs={"ceil_mode": True})
    assert relative_error(replaced(network, largest), "d, se", odd) > 1e-4
    gate = next(node for node in network if node.op == "multiply")
    ungated = gate.evolve(op="relu", inputs=gate.inputs[:1])
    assert relative_error(replaced(network, ungated), "d, se", odd) > 1e-4


def test_groups_that_do_not_divide_are_refused_with_the_option_to_give():
    with pytest.raises(ArchitectureError, match="norm_groups="):
        arch.build(model("group_norm")[1], options={"norm_groups": 7})


@pytest.mark.parametrize(
    ("name", "decision", "value"),
    [("resnetblur50", "antialias", "blur"), ("resnetaa50", "antialias", "avg"), ("resnet50", "antialias", "none")],
)
def test_a_name_tells_what_tensors_do_not(name, decision, value):
    tensors = shapes("resnet50")
    _, config = arch.build(tensors, arch=name, origins={"arch": "file"})
    assert (config.value("arch"), config.value(decision), config[decision].origin) == (name, value, "file")
    assert arch.build(tensors, options={"antialias": value})[1].value("arch") == name


@pytest.mark.parametrize("name", ["seresnext26t_32x4d", "ecaresnet50d_pruned", "resnetrs50", "senet154", "resnet50s"])
def test_names_of_timm_are_recognised(name):
    _, config = arch.build(shapes(name))
    assert config.value("family") == "timm"
    assert config.value("arch") == ("timm_resnet" if name.endswith("_pruned") else name)
    assert arch.build(shapes(name), arch=name)[1].value("arch") == name or name.endswith("_pruned")


@cache
def model(kind: str):
    """(module, {name: array}) of a kind."""
    block, arguments, _, _ = KINDS[kind]
    torch.manual_seed(3)
    return randomised(ResNet(block, **{**SMALL, **arguments}), seed=3)


def relative_error(network: Network, kind: str, size: tuple[int, int] = (64, 96)) -> float:
    x = np.random.default_rng(5).standard_normal((2, 3, *size))
    expected = run_double(model(kind)[0], x)
    found = ops.run(network, x)["logits"]
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def replaced(network: Network, changed) -> Network:
    return Network(tuple(changed if node.name == changed.name else node for node in network), network.outputs)


def shapes(name: str) -> dict[str, np.ndarray]:
    """The names and shapes of one of timm's networks, without its numbers."""
    with torch.device("meta"):
        net = timm.create_model(name)
    return {key: np.broadcast_to(np.float32(1), tuple(tensor.shape)) for key, tensor in net.state_dict().items()}
