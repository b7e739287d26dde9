"""Pre-activation and Wide ResNets for small images: which they are, and what remains to be said."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet import arch
from npresnet.arch.families import preact
from npresnet.arch.stages import is_preactivated
from npresnet.arch.tensors import Tensors
from tests.arch.fabric import basic_net, bottleneck_net, norm, without
from tests.arch.families.tiny import tiny

KUANGLIU = {"layers": [1, 1], "base": 8, "stem_channels": 8, "projection": "shortcut.0"}
XTERNALZ = {**KUANGLIU, "names": "block", "projection": "convShortcut", "final_norm": "bn1"}
DEEPMIND = {**KUANGLIU, "names": "deepmind", "projection": "shortcut", "final_norm": "batchnorm"}


def net(**options):
    return tiny(preact, **{**KUANGLIU, **options})


def test_pre_activation_is_seen_in_widths():
    assert is_preactivated(Tensors(net()))
    assert is_preactivated(Tensors(net(block="Bottleneck", layers=[2])))
    for tensors in (basic_net(), bottleneck_net(), basic_net(stem=3), basic_net((1, 1), stem=3, projection=None)):
        assert not is_preactivated(Tensors(tensors))
        assert not is_preactivated(Tensors(tensors | norm("layer1.0.bn1", 3)))
    assert not is_preactivated(Tensors({}))


def test_a_norm_of_another_width_does_not_make_another_family():
    tensors = basic_net() | {"layer2.0.bn1.weight": np.ones(8, np.float32)}  # as many as conv1 reads
    assert not is_preactivated(Tensors(tensors))


@pytest.mark.parametrize(
    ("tensors", "names", "alternatives"),
    [
        (net(), "layer", {"preactivation": ("preactivation='branch'",)}),
        (net(block="Bottleneck", stride_on="conv2"), "layer", {}),
        (net(projection="downsample.0", final_norm="bn"), "layer", {"preactivation": ("preactivation='shared'",)}),
        (net(final_norm="bn1"), "layer", {"stride_on": ("stride_on='conv1'",)}),
        (net(**XTERNALZ), "block", {}),
        (net(**DEEPMIND), "deepmind", {"activation": ("activation='relu'",)}),
    ],
    ids=["pytorch-cifar", "bottlenecks", "bearpaw", "meliketoy without biases", "xternalz", "DeepMind"],
)
def test_what_remains_ambiguous(tensors, names, alternatives):
    _, config = arch.build(tensors)
    assert (config.value("family"), config.value("names")) == ("preact", names)
    found = {name: d.alternatives for name, d in config.ambiguous().items() if name != "preprocess"}
    assert found == alternatives


def test_sizes_of_nets_for_semi_supervised_learning():
    sizes = {**XTERNALZ, "layers": [4, 4, 4], "base": 16}
    assert arch.build(net(**sizes, width_factor=2))[1]["activation"].alternatives
    assert not arch.build(net(**sizes, width_factor=3))[1]["activation"].alternatives
    biases = {f"block{i}.layer.{j}.conv1.bias": np.ones(48 * 2**i // 2, np.float32) for i in (1, 2) for j in (0,)}
    tensors = net(**XTERNALZ | {"base": 48}) | biases
    _, config = arch.build(tensors)
    assert (config.value("activation"), config.value("bn_eps")) == (["leaky_relu", 0.1], 1e-3)


@pytest.mark.parametrize(
    ("preactivation", "conv1", "projection"),
    [
        ("shared", "layer2.0.relu.1", "layer2.0.relu.1"),
        ("branch", "layer2.0.relu.1", "layer1.0.add"),
        ("first", "layer1.0.add", "layer1.0.add"),
    ],
)
def test_what_a_block_s_layers_read(preactivation, conv1, projection):
    network, _ = arch.build(net(), options={"preactivation": preactivation})
    assert network["layer2.0.conv1"].inputs == (conv1,)
    assert network["layer2.0.shortcut.0"].inputs == (projection,)


def test_mean_and_std_in_the_file_are_its_preprocessing():
    constants = {name: np.full((3, 1, 1), value, np.float32) for name, value in (("mean", 0.5), ("std", 0.25))}
    network, config = arch.build(net(**DEEPMIND, num_classes=10) | constants)
    assert network["init_conv"].inputs == ("input",)
    assert config.value("preprocess") == {"preset": "cifar10", "mean": [0.5] * 3, "std": [0.25] * 3}
    _, larger = arch.build(net(**DEEPMIND, num_classes=200) | constants)
    assert larger.value("preprocess") == {"resize": 64, "crop": 64, "mean": [0.5] * 3, "std": [0.25] * 3}


def test_deepmind_s_strided_convolutions_see_zeros_at_the_end():
    network, _ = arch.build(net(**DEEPMIND))
    assert network["layer.1.block.0.conv_0.pad"].attrs["padding"] == (0, 1, 0, 1)
    assert network["layer.1.block.0.conv_0"].window.padding == (0, 0)


@pytest.mark.parametrize(
    ("classes", "size", "labels"), [(10, "cifar10", "cifar10"), (100, "cifar10", None), (200, {"resize": 64}, None)]
)
def test_suggestions_by_the_number_of_classes(classes, size, labels):
    _, config = arch.build(net(num_classes=classes))
    found = config.value("preprocess")
    assert (found == size) if isinstance(size, str) else (found["resize"] == size["resize"])
    assert config.value("labels") == labels
    assert "preprocess" not in config.ambiguous()
    assert "preprocess" in arch.build(net(num_classes=7))[1].ambiguous()


def test_a_large_stem_has_a_pool():
    network, config = arch.build(net(stem_kernel=7))
    assert (config.value("stem_stride"), config.value("max_pool"), config.value("preprocess")) == (2, True, "V1")
    assert network["maxpool"].inputs == ("conv1",)
    assert "stem_stride" in arch.build(net(stem_kernel=5))[1].ambiguous()


def test_without_a_classifier_it_embeds():
    network, config = arch.build(without(net(), "linear."))
    assert dict(network.outputs) == {"embedding": "flatten"}
    assert config.value("num_classes") is None
