"""Options of residual networks that tensors do not determine: each reaches the network, or is refused."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet import arch, ops
from npresnet.errors import ArchitectureError
from tests.arch.fabric import basic_net, bottleneck_net

SMALL = basic_net((1, 1, 1), channels=8, stem=3, projection=None)
LARGE = basic_net((1, 1, 1, 1), channels=8)


def built(tensors, **options):
    return arch.build(tensors, options=options)


def window(network, name):
    node = network[name]
    return node.window.kernel_size[0], node.window.stride[0], node.window.padding[0], node.attrs.get("ceil_mode", False)


@pytest.mark.parametrize(("max_pool", "expected"), [([3, 2, 0, True], (3, 2, 0, True)), ([2, 2, 0], (2, 2, 0, False))])
def test_max_pool_may_be_any_window(max_pool, expected):
    network, config = built(LARGE, max_pool=max_pool)
    assert window(network, "maxpool") == expected
    assert (config["max_pool"].value, config["max_pool"].certainty) == (max_pool, "told")


def test_max_pool_of_false_and_true():
    assert "maxpool" not in [node.name for node in built(LARGE, max_pool=False)[0]]
    assert window(built(SMALL, max_pool=True)[0], "maxpool") == (3, 2, 1, False)


@pytest.mark.parametrize(("stem", "stride"), [([[7, 1, 3]], 1), ([(7, 2, 2)], 2)])
def test_stem_states_every_window(stem, stride):
    network, config = built(LARGE, stem=stem)
    assert window(network, "conv1")[:3] == tuple(stem[0])
    assert (config["stem"].value, config["stem_stride"].value) == ([list(stem[0])], stride)


def test_stem_stride_is_told_in_both_ways():
    network, config = built(LARGE, stem_stride=1)
    assert window(network, "conv1")[:3] == (7, 1, 3)
    assert (config["stem"].value, config["stem"].origin) == ([[7, 1, 3]], "caller")


def test_the_stem_of_a_network_for_small_images_is_settled_by_options():
    tensors = basic_net((1, 1, 1, 1), channels=8, stem=3)
    assert set(built(tensors)[1].ambiguous()) == {"stem_stride", "max_pool", "preprocess"}
    told = built(tensors, stem=[[3, 1, 2]], max_pool=True)[1]
    assert set(told.ambiguous()) == {"preprocess"}


def test_last_stride():
    network, config = built(LARGE, last_stride=1)
    assert window(network, "layer4.0.conv1")[:2] == (3, 1)
    assert window(network, "layer4.0.downsample.0")[:2] == (1, 1)
    assert config["last_stride"].origin == "caller"


@pytest.mark.parametrize(
    ("stride", "dilates"), [(8, [False, True, True]), (16, [False, False, True]), (32, [False, False, False])]
)
def test_output_stride_is_replace_stride_with_dilation(stride, dilates):
    tensors = bottleneck_net((1, 2, 1, 1))
    network, config = built(tensors, output_stride=stride)
    other, same = built(tensors, replace_stride_with_dilation=dilates)
    assert [node.window for node in network] == [node.window for node in other]
    assert config["replace_stride_with_dilation"].value == same["replace_stride_with_dilation"].value == dilates
    assert config["output_stride"].value == same["output_stride"].value == stride
    assert same["output_stride"].origin == "caller"


def test_two_options_that_contradict_each_other():
    tensors = bottleneck_net((1, 1, 1, 1))
    with pytest.raises(ArchitectureError, match="output_stride=8 contradicts"):
        built(tensors, output_stride=8, replace_stride_with_dilation=[False, False, True])
    with pytest.raises(ArchitectureError, match="networks of four stages"):
        built(SMALL, output_stride=16)


@pytest.mark.parametrize("kind", ["A", "A-end", "A-pool"])
def test_shortcuts_without_weights(kind):
    """Against the equations, on integers and for an odd size."""
    network, config = built(SMALL, shortcut=kind)
    assert (config["shortcut"].value, config["shortcut"].certainty) == (kind, "told")
    x = np.random.default_rng(0).integers(-9, 9, (2, 3, 14, 18)).astype(np.float64)
    wanted = ["layer1.0.relu.2", *(node.name for node in network if node.name.startswith("layer2.0.shortcut"))]
    values = ops.run(network.with_outputs([*wanted, "layer2.0.shortcut"]), x)
    before = values["layer1.0.relu.2"]
    if kind == "A-pool":
        taken = before.reshape(2, 8, 7, 2, 9, 2).mean(axis=(3, 5))
    else:
        taken = before[:, :, ::2, ::2]
    zeros = np.zeros((2, 4, *taken.shape[2:]))
    parts = [zeros, taken, zeros] if kind == "A" else [taken, zeros, zeros]
    np.testing.assert_allclose(values["layer2.0.shortcut"], np.concatenate(parts, axis=1), rtol=1e-12)


def test_no_shortcut_at_all():
    network, _ = built(SMALL, shortcut="none")
    assert not any(node.op == "add" for node in network)


@pytest.mark.parametrize("head", ["fc", "linear"])
def test_option_a_is_ambiguous_unless_the_file_is_known(head):
    tensors = basic_net((1, 1, 1), channels=8, stem=3, projection=None, head=head)
    assert built(tensors)[1]["shortcut"].alternatives == ("shortcut='A-end'", "shortcut='A-pool'", "shortcut='none'")
    assert arch.build(tensors, hints={"published": "resnet20-12fca82f"})[1].ambiguous() == {}


@pytest.mark.parametrize("kind", ["A", "none"])
def test_a_projection_contradicts_the_other_shortcuts(kind):
    with pytest.raises(ArchitectureError, match="shortcut"):
        built(LARGE, shortcut=kind)


@pytest.mark.parametrize("activation", ["silu", "gelu", ["leaky_relu", 0.2], "none"])
def test_activation_replaces_every_relu(activation):
    network, config = built(LARGE, activation=activation)
    kind = activation[0] if isinstance(activation, list) else activation
    found = {node.op for node in network if ".relu" in node.name or node.name == "relu"}
    assert found == (set() if kind == "none" else {kind})
    assert all(node.attrs["negative_slope"] == 0.2 for node in network if node.op == "leaky_relu")
    assert config["activation"].value == activation


def test_bn_eps_may_be_zero():
    network, _ = built(LARGE, bn_eps=0)
    assert {node.attrs["eps"] for node in network if node.op == "batch_norm"} == {0}


@pytest.mark.parametrize(
    "options",
    [
        {"max_pool": [3, 2]},
        {"max_pool": [3, 2, 2]},
        {"max_pool": [3, 0, 1]},
        {"max_pool": [3, 2, 1, 1]},
        {"max_pool": "yes"},
        {"stem": []},
        {"stem": [[7, 2]]},
        {"stem": [7, 2, 3]},
        {"stem": [[3, 2, 1]]},
        {"stem": [[7, 2, 3], [7, 2, 3]]},
        {"last_stride": 3},
        {"output_stride": 4},
        {"shortcut": "C"},
        {"activation": "prelu"},
        {"activation": ["leaky_relu"]},
        {"activation": ["relu", 0.1]},
        {"antialias": True},
        {"bn_eps": -1e-9},
        {"norm_groups": 0},
    ],
    ids=str,
)
def test_values_that_no_network_has_are_refused(options):
    with pytest.raises(ArchitectureError, match=next(iter(options))):
        built(LARGE, **options)


def test_signs_of_caffe_make_stride_and_pool_ambiguous():
    """Converted networks have torchvision's names, but nothing counted their batches."""
    tensors = bottleneck_net((1, 1, 1, 1), planes=16)
    counted = {**tensors, "bn1.num_batches_tracked": np.array(1)}
    assert built(counted)[1].ambiguous() == {}
    plain = {name: array for name, array in tensors.items() if "num_batches" not in name}
    assert set(built(plain)[1].ambiguous()) == {"stride_on", "max_pool"}
    assert set(built(plain, stride_on="1x1")[1].ambiguous()) == {"max_pool"}
    assert set(built(counted, stride_on="1x1")[1].ambiguous()) == {"max_pool"}
    assert built(plain, stride_on="1x1", max_pool=[3, 2, 0, True])[1].ambiguous() == {}
    assert arch.build(plain, hints={"published": "resnet50.IMAGENET1K_V1"})[1].ambiguous() == {}


@pytest.mark.parametrize(("classes", "warns"), [(10, True), (100, True), (2, False), (1000, False)])
def test_few_classes_make_a_large_stem_ambiguous(classes, warns):
    config = built(basic_net((1, 1), channels=8, classes=classes))[1]
    assert set(config.ambiguous()) == ({"stem_stride", "max_pool"} if warns else set())


def test_groups_of_norms_that_have_none():
    with pytest.raises(ArchitectureError, match="norm_groups is about GroupNorm"):
        built(LARGE, norm_groups=8)
