"""Builder: adds nodes to a network and requests the tensors of each from a source.

It tracks the number of channels from node to node, so that it knows the full shape of every layer's tensors. A file
whose shapes do not fit is refused here, before anything is computed. Sizes (H, W) depend on the image and are computed
by `Window`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from npresnet.arch.source import (
    CHANNEL_AXES,
    CONV_AXES,
    COUNTER,
    FEATURE_AXES,
    LINEAR_AXES,
    Source,
    Start,
    Wanted,
    he_fan_out,
    ones,
    uniform_fan_in,
    zeros,
)
from npresnet.errors import ArchitectureError
from npresnet.network import INPUT, Array, Network, Node
from npresnet.window import Window

MIXED = "Do the file's layers come from different networks?"


class Builder:
    """The nodes so far. Every method adds one node that reads `x` and returns the new node's name."""

    def __init__(self, source: Source, *, in_channels: int):
        self.source = source
        self.channels = {INPUT: in_channels}
        self._nodes: list[Node] = []

    def conv(
        self,
        name: str,
        x: str,
        out_channels: int,
        window: Window,
        *,
        groups: int = 1,
        start: Start = he_fan_out,
        to: str = "",
    ) -> str:
        """A convolution with the weight (out_channels, in_channels/groups, KH, KW), and a bias where the file has one.

        `to` names the reader of the result in errors; it determines out_channels.
        """
        channels = self.channels[x]

        def why() -> str:
            size = "x".join(map(str, window.kernel_size))
            height, width = (f"{axis}/{s}" if s > 1 else axis for axis, s in zip("HW", window.stride, strict=True))
            return (
                f"  input   (N, {channels}, H, W)   from {x}\n"
                f"  output  (N, {out_channels}, {height}, {width}){f'   {to}' if to else ''}\n"
                f"  Each filter sees in_channels/groups channels through a {size} window, groups = {groups}. {MIXED}"
            )

        if channels % groups or out_channels % groups:
            raise ArchitectureError(f"{name} cannot have {groups} groups, which must divide both channels\n{why()}")
        shape = (out_channels, channels // groups, *window.kernel_size)
        weight = self.source.take(Wanted(f"{name}.weight", shape, CONV_AXES, start, why))
        bias = self.source.take_optional(Wanted(f"{name}.bias", (out_channels,), CHANNEL_AXES, None, why))
        params = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
        return self._add(name, "conv2d", (x,), out_channels, window=window, groups=groups, params=params)

    def batch_norm(self, name: str, x: str, *, eps: float, start: Start = ones) -> str:
        """BatchNorm with its statistics; all four vectors are required. `start` initialises random weights."""
        channels = self.channels[x]

        def why() -> str:
            return f"  input   (N, {channels}, H, W)   from {x}\n  BatchNorm needs one number for each channel. {MIXED}"

        params: dict[str, Array] = {}
        for role, first in (("weight", start), ("bias", zeros), ("running_mean", zeros), ("running_var", ones)):
            params[role] = self.source.take(Wanted(f"{name}.{role}", (channels,), CHANNEL_AXES, first, why))  # (C,)
        self.source.skip(f"{name}.{COUNTER}")
        if (params["running_var"] < 0).any():
            raise ArchitectureError(f"{name}.running_var holds a negative variance. Is the file damaged?")
        return self._add(name, "batch_norm", (x,), params=params, attrs={"eps": eps})

    def linear(self, name: str, x: str, out_features: int) -> str:
        """A fully connected layer on (N, C): a weight (out_features, C), and a bias where the file has one."""
        features = self.channels[x]
        start = uniform_fan_in(features)

        def why() -> str:
            return (
                f"  input   (N, {features})   from {x}\n"
                f"  output  (N, {out_features})   one feature for each row of {name}.weight\n"
                f"  Pooling leaves one feature a channel. Does the classifier belong to a wider or deeper network?"
            )

        weight = self.source.take(Wanted(f"{name}.weight", (out_features, features), LINEAR_AXES, start, why))
        bias = self.source.take_optional(Wanted(f"{name}.bias", (out_features,), FEATURE_AXES, start, why))
        params = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
        return self._add(name, "linear", (x,), out_features, params=params)

    def relu(self, name: str, x: str, **attrs: Any) -> str:
        return self._add(name, "relu", (x,), attrs=attrs)

    def add(self, name: str, left: str, right: str) -> str:
        """The sum of a block's two branches."""
        a, b = self.channels[left], self.channels[right]
        if a != b:
            raise ArchitectureError(
                f"{name} cannot add its two branches\n"
                f"  branch    (N, {a}, H, W)   from {left}\n"
                f"  shortcut  (N, {b}, H, W)   from {right}\n"
                f"  Both need the same number of channels. Is the shortcut's convolution missing from the file?"
            )
        return self._add(name, "add", (left, right))

    def max_pool(self, name: str, x: str, window: Window) -> str:
        return self._add(name, "max_pool2d", (x,), window=window)

    def global_avg_pool(self, name: str, x: str) -> str:
        return self._add(name, "global_avg_pool", (x,))

    def flatten(self, name: str, x: str) -> str:
        return self._add(name, "flatten", (x,))

    def shortcut_a(self, name: str, x: str, *, stride: int, pad_channels: tuple[int, int]) -> str:
        """x[:, :, ::stride, ::stride] between zero channels."""
        attrs = {"stride": stride, "pad_channels": pad_channels}
        return self._add(name, "shortcut_a", (x,), self.channels[x] + sum(pad_channels), attrs=attrs)

    def network(self, outputs: Mapping[str, str]) -> Network:
        """The complete network. Raises ArchitectureError where tensors are unused."""
        self.source.finish()
        return Network(tuple(self._nodes), outputs)

    def _add(self, name: str, op: str, inputs: tuple[str, ...], channels: int | None = None, **fields: Any) -> str:
        self.channels[name] = self.channels[inputs[0]] if channels is None else channels
        self._nodes.append(Node(name, op, inputs, **fields))
        return name
