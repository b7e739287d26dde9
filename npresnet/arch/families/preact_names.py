"""Conventions of names for pre-activation ResNets, and their named architectures."""

# No `from __future__ import annotations`: a NamedTuple would compile annotations that are strings, which slows a start.

from collections.abc import Mapping
from typing import Any, NamedTuple

from npresnet.arch.family import Options
from npresnet.arch.stages import is_preactivated
from npresnet.arch.tensors import Tensors


class Convention(NamedTuple):
    """How a home calls the modules of such a network.

    stages, blocks, first  block J of stage I is <stages><I + first>.<blocks>J
    convs, norms, relus    in a block, in order; relus are names of nodes
    projections, finals    the names that occur; classifier: the usual one
    pads_end               strided 3x3 convolutions see one row and column of zeros, at the end
    """

    name: str
    stem: str
    stages: str
    first: int
    blocks: str
    convs: tuple[str, ...]
    norms: tuple[str, ...]
    relus: tuple[str, ...]
    projections: tuple[str, ...]
    finals: tuple[str, ...]
    classifier: str
    stem_norm: str = ""
    pads_end: bool = False

    def block(self, stage: int, number: int) -> str:
        return f"{self.stages}{stage + self.first}.{self.blocks}{number}"


LAYER = Convention(
    name="layer",
    stem="conv1",
    stages="layer",
    first=1,
    blocks="",
    convs=("conv1", "conv2", "conv3"),
    norms=("bn1", "bn2", "bn3"),
    relus=("relu.1", "relu.2", "relu.3"),
    projections=("shortcut.0", "downsample.0"),
    finals=("bn", "bn1"),
    classifier="linear",
)
BLOCK = Convention(
    name="block",
    stem="conv1",
    stages="block",
    first=1,
    blocks="layer.",
    convs=("conv1", "conv2"),
    norms=("bn1", "bn2"),
    relus=("relu1", "relu2"),
    projections=("convShortcut",),
    finals=("bn1",),
    classifier="fc",
)
DEEPMIND = Convention(
    name="deepmind",
    stem="init_conv",
    stages="layer.",
    first=0,
    blocks="block.",
    convs=("conv_0", "conv_1"),
    norms=("batchnorm_0", "batchnorm_1"),
    relus=("relu_0", "relu_1"),
    projections=("shortcut",),
    finals=("batchnorm",),
    classifier="logits",
    pads_end=True,
)
RESIDUAL = Convention(
    name="residual",
    stem="pre.0",
    stages="stage",
    first=1,
    blocks="",
    convs=("residual.2", "residual.5", "residual.8"),
    norms=("residual.0", "residual.3", "residual.6"),
    relus=("residual.1", "residual.4", "residual.7"),
    projections=("shortcut",),
    finals=(),
    classifier="linear",
    stem_norm="pre.1",
)
CONVENTIONS: Mapping[str, Convention] = {one.name: one for one in (LAYER, BLOCK, DEEPMIND, RESIDUAL)}


def convention_of(tensors: Tensors) -> Convention | None:
    """The convention of a pre-activation network's names; None for other networks."""
    if is_preactivated(tensors) and "conv1.weight" in tensors:
        return LAYER
    others = (BLOCK, DEEPMIND, RESIDUAL)
    return next((one for one in others if f"{one.block(0, 0)}.{one.convs[0]}.weight" in tensors), None)


def _net(layers: list[int], width_factor: int = 1, block: str = "BasicBlock", **more: Any) -> Options:
    names = {"names": "layer", "projection": "shortcut.0", "base": 64, "stem_channels": 64}
    stride_on = {"stride_on": "conv2"} if block == "Bottleneck" else {}
    return {"block": block, "layers": layers, "width_factor": width_factor, **names, **stride_on, **more}


def _wide(depth: int, factor: int, **more: Any) -> Options:
    """depth 6n + 4, n blocks in each of three stages."""
    own = {"names": "block", "projection": "convShortcut", "final_norm": "bn1"}
    return _net([(depth - 4) // 6] * 3, factor, **{"base": 16, "stem_channels": 16, **own, **more})


def _deepmind(depth: int, factor: int) -> Options:
    own = {"names": "deepmind", "projection": "shortcut", "final_norm": "batchnorm"}
    return _wide(depth, factor, activation="silu", **own)


ARCHS: Mapping[str, Options] = {
    "preact_resnet18": _net([2, 2, 2, 2]),
    "preact_resnet34": _net([3, 4, 6, 3]),
    "preact_resnet50": _net([3, 4, 6, 3], block="Bottleneck"),
    "preact_resnet101": _net([3, 4, 23, 3], block="Bottleneck"),
    "preact_resnet152": _net([3, 8, 36, 3], block="Bottleneck"),
    "wrn_16_4": _wide(16, 4),
    "wrn_28_2": _wide(28, 2),
    "wrn_28_10": _wide(28, 10),
    "wrn_34_10": _wide(34, 10),
    "wrn_40_2": _wide(40, 2),
    "dm_wrn_28_10": _deepmind(28, 10),
    "dm_wrn_70_16": _deepmind(70, 16),
}
