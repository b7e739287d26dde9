"""Builder: adds one node after another to a network, each with its tensors, and checks that their channels chain.

It follows the number of channels from node to node, so that a file whose shapes do not fit is refused here, layer and
both shapes named, before anything is computed. Sizes (H, W) depend on the image and are `Window`'s affair.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from npresnet.arch.tensors import CHANNEL_AXES, CONV_AXES, LINEAR_AXES, Tensors
from npresnet.errors import ArchitectureError
from npresnet.network import INPUT, Array, Network, Node
from npresnet.window import Window


class Builder:
    """Nodes so far. Every method adds one node that reads `source` and returns its name."""

    def __init__(self, tensors: Tensors, *, in_channels: int, bn_eps: float = 1e-5):
        self.tensors = tensors
        self.bn_eps = bn_eps
        self.channels = {INPUT: in_channels}
        self._nodes: list[Node] = []

    def conv(self, name: str, source: str, window: Window, *, groups: int = 1) -> str:
        """A convolution with the weight (and the bias, where the file has one) called `name`."""
        weight = self.tensors.take(f"{name}.weight", CONV_AXES)  # (O, C/G, KH, KW)
        out_channels, group_channels, *kernel_size = weight.shape
        if tuple(kernel_size) != window.kernel_size:
            raise ArchitectureError(
                f"{name}.weight has shape {weight.shape} ({', '.join(CONV_AXES)}), but a layer of that name has a "
                f"{_times(window.kernel_size)} kernel in every ResNet that npresnet knows"
            )
        channels = self.channels[source]
        if channels != group_channels * groups or out_channels % groups:
            raise ArchitectureError(
                f"{name} expects {group_channels * groups} input channels, got {channels}\n"
                f"  input   (N, {channels}, H, W)   from {source}\n"
                f"  weight  {weight.shape}   {', '.join(CONV_AXES)}\n"
                f"  Each filter sees in_channels/groups channels, groups = {groups}, and groups divides out_channels. "
                f"Do the file's layers come from different networks?"
            )
        params: dict[str, Array] = {"weight": weight, **self._bias(name, out_channels)}
        return self._add(name, "conv2d", (source,), out_channels, window=window, groups=groups, params=params)

    def batch_norm(self, name: str, source: str) -> str:
        """BatchNorm with its statistics; all four vectors must be there."""
        roles = ("weight", "bias", "running_mean", "running_var")
        given = f"its input, {source}, has"
        params = {role: self._vector(f"{name}.{role}", self.channels[source], given) for role in roles}
        if (params["running_var"] < 0).any():
            raise ArchitectureError(f"{name}.running_var holds a negative variance. Is the file damaged?")
        return self._add(name, "batch_norm", (source,), params=params, attrs={"eps": self.bn_eps})

    def linear(self, name: str, source: str) -> str:
        """A fully connected layer on (N, C)."""
        weight = self.tensors.take(f"{name}.weight", LINEAR_AXES)  # (O, C)
        out_features, in_features = weight.shape
        channels = self.channels[source]
        if in_features != channels:
            raise ArchitectureError(
                f"{name} expects {in_features} input features, got {channels}\n"
                f"  input   (N, {channels})   from {source}\n"
                f"  weight  {weight.shape}   {', '.join(LINEAR_AXES)}\n"
                f"  Pooling leaves one feature a channel. Does the classifier belong to a wider or deeper network?"
            )
        params: dict[str, Array] = {"weight": weight, **self._bias(name, out_features)}
        return self._add(name, "linear", (source,), out_features, params=params)

    def relu(self, name: str, source: str, **attrs: Any) -> str:
        return self._add(name, "relu", (source,), attrs=attrs)

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

    def max_pool(self, name: str, source: str, window: Window) -> str:
        return self._add(name, "max_pool2d", (source,), window=window)

    def global_avg_pool(self, name: str, source: str) -> str:
        return self._add(name, "global_avg_pool", (source,))

    def flatten(self, name: str, source: str) -> str:
        return self._add(name, "flatten", (source,))

    def shortcut_a(self, name: str, source: str, *, stride: int, pad_channels: tuple[int, int]) -> str:
        """x[:, :, ::stride, ::stride] between channels of zeros."""
        attrs = {"stride": stride, "pad_channels": pad_channels}
        return self._add(name, "shortcut_a", (source,), self.channels[source] + sum(pad_channels), attrs=attrs)

    def network(self, outputs: Mapping[str, str]) -> Network:
        """The finished network. Raises ArchitectureError where tensors are left over."""
        self.tensors.refuse_leftovers()
        return Network(tuple(self._nodes), outputs)

    def _add(self, name: str, op: str, inputs: tuple[str, ...], channels: int | None = None, **fields: Any) -> str:
        self.channels[name] = self.channels[inputs[0]] if channels is None else channels
        self._nodes.append(Node(name, op, inputs, **fields))
        return name

    def _bias(self, name: str, channels: int) -> dict[str, Array]:
        given = f"{name}.weight has"
        return {"bias": self._vector(f"{name}.bias", channels, given)} if f"{name}.bias" in self.tensors else {}

    def _vector(self, name: str, channels: int, given: str) -> Array:
        vector = self.tensors.take(name, CHANNEL_AXES)  # (C,)
        if vector.shape != (channels,):
            raise ArchitectureError(
                f"{name} has shape {vector.shape} (channels,), but {given} {channels} channels, and each needs one "
                f"number. Do the file's layers come from different networks?"
            )
        return vector


def _times(sizes: tuple[int, ...]) -> str:
    return "x".join(map(str, sizes))
