"""Attention in a block: a gate for each channel, made from the branch and multiplied with it before the addition.

    se    sigmoid(fc2(relu(fc1(mean over H, W of x))))      Hu et al. 2018, Squeeze-and-Excitation Networks, section 3
    eca   sigmoid(conv1d over channels(mean of x))          Wang et al. 2020, ECA-Net, section 3.3
    cbam  two gates, of channels and of positions           see `attention_maps`
    gc    a gate from a weighted mean of x                  see `attention_maps`

A file tells the kind by the names of its tensors; where a module stands is told by its name inside the block.
"""

# No `from __future__ import annotations`: a NamedTuple would compile annotations that are strings, which slows a start.

import math
import re
from typing import NamedTuple

from npresnet.arch.builder import Builder
from npresnet.arch.source import Source, uniform_fan_in
from npresnet.arch.tensors import Tensors, agreed
from npresnet.window import Window

POINTWISE = Window.of(1)


class Attention(NamedTuple):
    """An attention module.

    kind     "se", "eca", "cbam" or "gc"
    module   its name in a block: "se", "se_module", ...; "" where its layers are the block's own
    layers   the names of its layers in the module, in order
    order    of CBAM's two maps of positions
    """

    kind: str
    module: str = "se"
    layers: tuple[str, ...] = ("fc1", "fc2")
    order: tuple[str, str] = ("mean", "max")

    def names(self, block: str) -> list[str]:
        """The full names of its layers, "" for one that it has not."""
        prefix = f"{block}.{self.module}." if self.module else f"{block}."
        return [f"{prefix}{layer}" if layer else "" for layer in self.layers]


SE = Attention("se")
ECA = Attention("eca", "se", ("conv",))
CBAM = Attention("cbam", "se", ("channel.fc1", "channel.fc2", "spatial.conv.conv", "spatial.conv.bn"))
GC = Attention("gc", "se", ("conv_attn", "mlp_scale", ""))
KINDS = {"se": SE, "eca": ECA, "cbam": CBAM, "gc": GC}

_BLOCK = r"^layer[0-9]+\.[0-9]+\."
_NAMES = ("se", "se_module", "se_layer", "semodule", "eca", "eca_layer", "attn")
_MODULE = f"(?P<module>{'|'.join(_NAMES)})"
_MEMBERS = {*_NAMES, "cbam", "ca", "fc1"}  # names in a block that start all forms below
_GATE = "ChannelGate.mlp.1 ChannelGate.mlp.3 SpatialGate.spatial.conv SpatialGate.spatial.bn"
# (kind, pattern of the first layer's weight, the layers); the first match counts
_FORMS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("se", _BLOCK + _MODULE + r"\.fc1\.weight$", ("fc1", "fc2")),
    ("se", _BLOCK + _MODULE + r"\.fc\.0\.weight$", ("fc.0", "fc.2")),
    ("se", _BLOCK + r"(?P<module>)fc1\.weight$", ("fc1", "fc2")),
    ("eca", _BLOCK + _MODULE + r"\.conv\.weight$", ("conv",)),
    ("gc", _BLOCK + _MODULE + r"\.conv_attn\.weight$", ("conv_attn", "mlp_scale", "mlp_add")),
    ("cbam", _BLOCK + r"(?P<module>se|attn)\.channel\.fc1\.weight$", CBAM.layers),
    ("cbam", _BLOCK + r"(?P<module>cbam)\.ChannelGate\.mlp\.1\.weight$", tuple(_GATE.split())),
    ("cbam", _BLOCK + r"(?P<module>)ca\.fc1\.weight$", ("ca.fc1", "ca.fc2", "sa.conv1", "")),
    ("cbam", _BLOCK + r"(?P<module>)ca\.fc\.0\.weight$", ("ca.fc.0", "ca.fc.2", "sa.conv1", "")),
)


def find_attention(tensors: Tensors) -> Attention | None:
    """The attention that any block of a file has."""
    members = {name.split(".", 3)[2] for name in tensors if name.startswith("layer") and name.count(".") > 2}
    if members.isdisjoint(_MEMBERS):  # without compiling a pattern for each form
        return None
    for kind, pattern, layers in _FORMS:
        for name in tensors.matching(pattern):
            found = re.match(pattern, name)
            if found and (kind != "eca" or len(tensors.shape(name)) == 3):
                order = ("max", "mean") if found["module"] == "cbam" else ("mean", "max")
                return Attention(kind, found["module"], layers, order)
    return None


def attend(
    builder: Builder,
    attention: Attention | None,
    block: str,
    x: str,
    reduction: float = 1 / 16,
    hidden: int | None = None,
) -> str:
    """x times its gate; x itself where the block has none.

    reduction  the first layer's width over the channels, for random weights; a file has its own
    hidden     that width itself, where it does not follow timm's rule
    """
    if attention is None:
        return x
    names = attention.names(block)
    if builder.source.is_file and f"{names[0]}.weight" not in builder.source:
        return x
    base = f"{block}.{attention.module}" if attention.module else f"{block}.gate"
    if attention.kind in ("cbam", "gc"):
        from npresnet.arch.residual import attention_maps  # seldom needed

        if attention.kind == "cbam":
            return attention_maps.cbam(builder, base, names, x, reduction, attention.order)
        return attention_maps.global_context(builder, base, names, x)
    gate = builder.global_avg_pool(f"{base}.pool", x)
    if attention.kind == "eca":
        kernel = builder.source.shape_of(f"{names[0]}.weight")
        gate = builder.channel_conv1d(names[0], gate, kernel[-1] if kernel else eca_kernel(builder.channels[x]))
    else:
        gate = squeeze_and_excite(builder, names, gate, reduction, hidden)
    gate = builder.activation(f"{base}.sigmoid", gate, "sigmoid")
    return builder.multiply(f"{base}.multiply", x, gate)


def squeeze_and_excite(
    builder: Builder, names: list[str], gate: str, reduction: float, hidden: int | None = None
) -> str:
    """Two pointwise layers with a ReLU between; 1x1 convolutions or linear layers, in a file as their weights are."""
    first, second = names
    channels = builder.channels[gate]
    shape = builder.source.shape_of(f"{first}.weight")
    hidden = _hidden(builder.source, first, second) if shape else hidden or reduced(channels * reduction)
    if shape and len(shape) == 2:
        gate = builder.flatten(f"{first}.flatten", gate)
        gate = builder.relu(f"{first}.relu", builder.linear(first, gate, hidden))
        return builder.linear(second, gate, channels)
    gate = builder.conv(first, gate, hidden, POINTWISE, bias=uniform_fan_in(channels))
    gate = builder.relu(f"{first}.relu", gate)
    return builder.conv(second, gate, channels, POINTWISE, bias=uniform_fan_in(hidden))


def _hidden(source: Source, first: str, second: str) -> int:
    """The width between two layers of a file; the majority of three tensors counts."""
    places = {f"{first}.weight": 0, f"{first}.bias": 0, f"{second}.weight": 1}
    shapes = ((source.shape_of(name), axis) for name, axis in places.items())
    return agreed(shape[axis] for shape, axis in shapes if shape is not None and len(shape) > axis)


def reduced(channels: float, divisor: int = 8) -> int:
    """The nearest multiple of `divisor`, at least one: timm's width of a squeeze."""
    return max(divisor, int(channels + divisor / 2) // divisor * divisor)


def eca_kernel(channels: int) -> int:
    """ECA's odd kernel_size for so many channels: |log2(C) + 1| / 2, made odd (Wang et al., equation 12)."""
    size = int(abs(math.log2(channels) + 1) / 2)
    return max(size if size % 2 else size + 1, 3)
