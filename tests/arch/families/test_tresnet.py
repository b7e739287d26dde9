"""TResNet: the stem's rearrangement, blurs before strides, and gates of three stages."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet import arch, ops
from npresnet.arch.families import tresnet
from npresnet.errors import ArchitectureError
from tests.arch.families.tiny import tiny
from tests.support.checks import assert_same


def net(**options):
    return tiny(tresnet, **{"layers": [1, 1, 1, 1], "channels": 8, **options})


def test_the_stem_turns_squares_of_pixels_into_channels():
    network, config = arch.build(net(in_channels=2))
    x = np.random.default_rng(0).integers(-9, 9, (1, 2, 8, 12)).astype(np.float32)
    found = ops.run(network.with_outputs(["body.s2d"]), x)["body.s2d"]
    squares = x.reshape(1, 2, 2, 4, 3, 4)  # (N, C, H/4, 4, W/4, 4)
    assert_same(found, squares.transpose(0, 3, 5, 1, 2, 4).reshape(1, 32, 2, 3), "s2d")
    assert (config.value("in_channels"), config.value("preprocess")) == (2, None)


@pytest.mark.parametrize(("v2", "convs"), [(False, (2, 2, 3, 3)), (True, (3, 3, 3, 3))])
def test_blocks_of_each_stage(v2, convs):
    network, config = arch.build(net(v2=v2))
    names = [node.name for node in network]
    assert config.value("v2") is v2
    assert tuple(sum(f"body.layer{i}.0.conv{k}.conv" in names for k in (1, 2, 3)) for i in (1, 2, 3, 4)) == convs
    gated = [f"body.layer{i}.0.se.fc1" in names for i in (1, 2, 3, 4)]
    assert gated == [True, True, True, False]
    slopes = {node.attrs["negative_slope"] for node in network if node.op == "leaky_relu"}
    assert slopes == {0.01, 0.001}


def test_a_blur_takes_the_stride():
    network, _ = arch.build(net())
    blur = network["body.layer2.0.conv1.aa"]
    assert (blur.window.stride, blur.groups, blur.inputs) == ((2, 2), 16, ("body.layer2.0.conv1.aa.pad",))
    assert network["body.layer2.0.conv1.conv"].window.stride == (1, 1)
    assert network["body.layer2.0.downsample.0"].op == "avg_pool2d"


def test_a_stem_that_is_no_rearrangement_is_refused():
    tensors = net() | {"body.conv1.conv.weight": np.ones((8, 40, 3, 3), np.float32)}
    with pytest.raises(ArchitectureError, match=r"\(8, 40, 3, 3\).* a multiple of 16"):
        arch.build(tensors)


def test_names():
    assert tresnet.named("tresnet_l") == {"layers": [4, 5, 18, 3], "v2": False, "channels": 76}
    assert tresnet.named("tresnet_s") is None
    assert arch.build(net())[1].value("arch") == "tresnet"
