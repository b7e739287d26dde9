"""SENets of Caffe: the kind of block tells where the stride is."""

from __future__ import annotations

import pytest

from npresnet import arch
from npresnet.arch.families import senet
from npresnet.arch.names import find_arch
from tests.arch.fabric import basic_net, conv
from tests.arch.families.tiny import tiny

LAYERS = [1, 2]


def net(block: str, groups: int = 1, **options):
    return tiny(senet, block=block, layers=LAYERS, groups=groups, **options)


@pytest.mark.parametrize(
    ("block", "groups", "strides"),
    [
        ("SEResNetBlock", 1, (2, 1)),
        ("SEResNetBottleneck", 1, (2, 1, 1)),
        ("SEResNeXtBottleneck", 32, (1, 2, 1)),
        ("SEBottleneck", 64, (1, 2, 1)),
    ],
)
def test_the_kind_of_block_is_told_by_its_widths_and_groups(block, groups, strides):
    network, config = arch.build(net(block, groups))
    assert (config.value("block"), config.value("groups"), config.value("family")) == (block, groups, "senet")
    convs = [f"layer2.0.conv{k}" for k in range(1, len(strides) + 1)]
    assert tuple(network[name].window.stride[0] for name in convs) == strides
    assert network["layer2.0.downsample.0"].window.kernel_size == ((3, 3) if block == "SEBottleneck" else (1, 1))
    assert network["layer1.0.add"].inputs[0] == "layer1.0.se_module.multiply"
    assert config.ambiguous() == {}


def test_the_stride_can_be_elsewhere():
    network, config = arch.build(net("SEResNetBottleneck"), options={"stride_on": "3x3"})
    assert network["layer2.0.conv2"].window.stride == (2, 2)
    assert config["stride_on"].origin == "caller"


def test_the_pool_rounds_sizes_up():
    network, _ = arch.build(net("SEResNetBlock"))
    pool = network["pool0"]
    assert (pool.window.kernel_size, pool.window.padding, pool.attrs["ceil_mode"]) == ((3, 3), (0, 0), True)


def test_a_basic_block_s_gate_reads_what_its_activation_gives():
    network, _ = arch.build(net("SEResNetBlock"))
    assert network["layer1.0.se_module.multiply"].inputs[0] == "layer1.0.relu.2"
    assert network["layer1.0.relu.2"].inputs == ("layer1.0.bn2",)


def test_any_name_of_the_classifier():
    tensors = net("SEResNetBlock")
    renamed = {name.replace("last_linear", "fc"): array for name, array in tensors.items()}
    network, config = arch.build(renamed)
    assert dict(network.outputs) == {"logits": "fc"}
    assert config.value("num_classes") == 5


@pytest.mark.parametrize(
    ("name", "listed"),
    [
        ("se_resnet50", "legacy_seresnet50"),
        ("se_resnext101_32x4d", "legacy_seresnext101_32x4d"),
    ],
)
def test_names_of_pretrained_models(name, listed):
    family, options = find_arch(name)
    assert (family.NAME, options) == ("senet", senet.ARCHS[listed])


@pytest.mark.parametrize("name", ["seresnet50", "resnet50", "senet_154"])
def test_other_names_are_not_these(name):
    assert senet.named(name) is None


def test_a_stem_of_another_home_is_not_this_family_s():
    tensors = basic_net() | conv("layer1.0.se_module.fc1", 2, 8, 1, 1) | conv("layer1.0.se_module.fc2", 8, 2, 1, 1)
    assert arch.build(tensors)[1].value("family") != "senet"
