"""timm's attention blocks, and heads with BatchNorm, through the whole GPU backend on an emulated machine."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet import ops
from npresnet.errors import ArchitectureError
from npresnet.network import INPUT, Network, Node
from npresnet.passes import optimize
from npresnet.window import Window
from tests.cuda.running import GATES, compiled
from tests.emulator import emulator
from tests.support.attention_blocks import BLOCKS, CHANNELS, SIZE, block

pytestmark = emulator.needed


def images(count: int = 2, channels: int = CHANNELS) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((count, channels, *SIZE)).astype(np.float32)


def assert_near(network: Network, x: np.ndarray, dtype: str) -> None:
    exact = ops.run(network, x.astype(np.float64))["y"]
    found = compiled(optimize(network), dtype)(x)["y"]
    assert np.linalg.norm(found - exact) <= GATES[dtype] * np.linalg.norm(exact)


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_as_timm_has_it(gpus, name):
    gpus()
    assert_near(block(name)[1], images(), "float32")


def test_16_bits(gpus):
    gpus()
    for name in ("se", "split attention", "attention pool"):
        assert_near(block(name)[1], images(), "float16")


@pytest.mark.parametrize("flattened", ["row", "image"])
def test_norms_around_a_linear_layer(gpus, flattened):
    """On vectors: pooled features, or a flattened image, whose numbers lie in another order on the GPU."""
    gpus()
    rng = np.random.default_rng(1)
    features = 6 if flattened == "row" else 6 * SIZE[0] * SIZE[1]

    def norm(name: str, source: str, count: int) -> Node:
        params = {role: rng.uniform(0.5, 2, count).astype(np.float32) for role in ("weight", "running_var")}
        params |= {role: rng.standard_normal(count).astype(np.float32) for role in ("bias", "running_mean")}
        return Node(name, "batch_norm", (source,), attrs={"eps": 1e-5}, params=params)

    weight = rng.standard_normal((5, features)).astype(np.float32)
    nodes = (
        Node("pool", "global_avg_pool", (INPUT,)),
        Node("row", "flatten", ("pool",)),
        Node("image", "flatten", (INPUT,)),
        norm("first", flattened, features),
        Node("fc", "linear", ("first",), params={"weight": weight}),
        norm("second", "fc", 5),
        Node("y", "relu", ("second",)),
    )
    network = Network(nodes, {"y": "y"}).with_outputs(["y"])
    assert [node.op for node in optimize(network)][-2:] == ["batch_norm", "linear"]
    assert_near(network, images(channels=6), "float32")


FLAT = Node("flat", "flatten", (INPUT,))
REFUSED = {
    "slice": Node("y", "slice_channels", ("flat",), attrs={"start": 0, "stop": 2}),
    "concatenate": Node("y", "concat", ("flat", "flat")),
    "convolve": Node("y", "channel_conv1d", ("flat",), params={"weight": np.ones((1, 1, 3), np.float32)}),
    "softmax": Node("y", "radix_softmax", ("flat",), attrs={"radix": 2}),
    "shift": Node("y", "broadcast_add", ("flat", "pixels")),
}


@pytest.mark.parametrize("verb", REFUSED)
def test_flattened_images_are_refused_by_name(gpus, verb):
    """Their numbers lie in another order than the operation means."""
    gpus()
    pixels = Node("pixels", "linear", ("flat",), params={"weight": np.ones((96, 96), np.float32)})
    nodes = (Node("one", "avg_pool2d", (INPUT,), Window.of(1)), FLAT, pixels, REFUSED[verb])
    with pytest.raises(ArchitectureError, match=rf"^y: the GPU backend does not .*{verb}.* a flattened image"):
        compiled(Network(nodes, {"y": "y"}))(np.zeros((1, 6, 4, 4), np.float32))
