"""One convolution of each kind, in small networks with random weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

import npresnet
from npresnet.model.model import Model
from npresnet.network import INPUT
from tests.support.small import picture

PHOTO = picture(3, height=80, width=90)


@dataclass(frozen=True)
class Kind:
    """A convolution of a network that `npresnet.build` makes."""

    network: str
    layer: str
    options: tuple[tuple[str, Any], ...] = field(default=())


KINDS = {
    "7x7 stem": Kind("resnet10", "conv1"),
    "3x3": Kind("resnet10", "layer1.0.conv1"),
    "3x3 with residual": Kind("resnet10", "layer2.0.conv2"),
    "3x3 strided": Kind("resnet10", "layer3.0.conv1"),
    "1x1": Kind("resnet14", "layer1.0.conv1"),
    "1x1 with residual": Kind("resnet14", "layer2.0.conv3"),
    "1x1 strided, no ReLU": Kind("resnet14", "layer2.0.downsample.0"),
    "grouped": Kind("resnet14", "layer2.0.conv2", (("groups", 8), ("width_per_group", 8))),
    "dilated": Kind("resnet26", "layer4.1.conv2", (("replace_stride_with_dilation", (False, True, True)),)),
}


@lru_cache(maxsize=3)
def model_of(kind: Kind, size: int = 64) -> Model:
    """The network, with random BatchNorm statistics and parameters; images of size x size."""
    rng = np.random.default_rng(7)
    options = {name: list(value) if isinstance(value, tuple) else value for name, value in kind.options}
    model = npresnet.build(
        kind.network,
        num_classes=5,
        threads=2,
        preprocess={"resize": size, "crop": size},
        labels=list("abcde"),
        **options,
    )
    for node in model.network:
        if node.op == "batch_norm":
            node.params["running_mean"][...] = rng.normal(0, 0.1, node.params["running_mean"].shape)
            node.params["running_var"][...] = rng.uniform(0.5, 2, node.params["running_var"].shape)
            node.params["weight"][...] = rng.uniform(0.5, 1.5, node.params["weight"].shape)
            node.params["bias"][...] = rng.normal(0, 0.2, node.params["bias"].shape)
    return model


def input_of(model: Model, name: str) -> np.ndarray:
    """What node `name` gives for PHOTO, or the image itself, (1, C, H, W)."""
    x = model.preprocess(PHOTO)
    return x if name == INPUT else model.features(x, [name])[name]
