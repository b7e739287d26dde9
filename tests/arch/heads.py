"""A small body with random weights, PyTorch's heads on it, and what they make of the body's last map."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from npresnet import arch, ops
from npresnet.config import Config
from npresnet.network import Network
from tests.arch.fabric import Tensors, basic_net

torch = pytest.importorskip("torch", reason="torch is not installed")

FEATURES = 8
MAP = "layer1.0.relu.2"


def body(seed: int = 0) -> Tensors:
    """A net of one block with 8 features, without a classifier."""
    noise = np.random.default_rng(seed)
    net = basic_net((1,), head=None)
    for name, tensor in net.items():
        if tensor.ndim == 4:
            net[name] = noise.normal(0, (2 / tensor[0].size) ** 0.5, tensor.shape).astype("f4")
        elif not name.endswith("tracked"):
            net[name] = noise.uniform(0.4, 0.9, tensor.shape).astype("f4")
    return net


def randomised(head: Any, seed: int = 0) -> Any:
    """With random affine parameters and statistics."""
    noise = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in (*head.named_parameters(), *head.named_buffers()):
            if tensor.is_floating_point():
                tensor.copy_(torch.randn(tensor.shape, generator=noise))
                if name.endswith("running_var"):
                    tensor.abs_().add_(0.5)
    return head.eval()


def tensors_of(head: Any, prefix: str = "") -> Tensors:
    return {prefix + name: tensor.numpy() for name, tensor in head.state_dict().items()}


def check(module: Any, tensors: Tensors, flat: bool = True, **options: object) -> tuple[Network, Config]:
    """The network with these tensors for its classifier computes what PyTorch's `module` makes of the pooled map.

    flat  `module` takes the average (N, C), else the map (N, C, H, W)
    """
    network, config = arch.build(body() | tensors, options=options)
    (last,) = network.outputs.values()
    wide = Network(network.nodes, {"map": MAP, "last": last})
    x = np.random.default_rng(1).standard_normal((3, 3, 32, 32)) * [[[[0.2]]], [[[1]]], [[[3]]]]
    found = ops.run(wide, x)
    maps = torch.from_numpy(np.asarray(found["map"]))
    with torch.inference_mode():
        right = module.double()(maps.mean((2, 3)) if flat else maps).numpy()
    assert np.ptp(right, axis=0).max() > 1e-3 * np.abs(right).max(), "the images have one result"
    np.testing.assert_allclose(found["last"], right, rtol=1e-9, atol=1e-9 * np.abs(right).max())
    return network, config
