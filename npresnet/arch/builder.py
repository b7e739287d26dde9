"""Builder: adds nodes to a network and requests the tensors of each from a source.

It tracks the number of channels from node to node, so that it knows the full shape of every layer's tensors. A file
whose shapes do not fit is refused here, before anything is computed. Sizes (H, W) depend on the image and are computed
by `Window`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from npresnet.arch.source import (
    CHANNEL_AXES,
    CONV3D_AXES,
    CONV_AXES,
    COUNTER,
    FEATURE_AXES,
    LINEAR_AXES,
    Init,
    Shape,
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


def _quarter(shape: Shape) -> Init:
    """PyTorch's first slope of a PReLU."""
    return Init("constant", 0.25)


def _pool(kind: str, window: Window) -> str:
    """max_pool2d, or max_pool3d for a window over clips."""
    return f"{kind}_pool{len(window.stride)}d"


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
        bias: Start | None = None,
        to: str = "",
        weight: str = "",
        computed: Callable[[Array], Array] | None = None,
    ) -> str:
        """A convolution with the weight (out_channels, in_channels/groups, KH, KW), and a bias where the file has one.

        With a window over time, height and width it is a conv3d, whose weight has KT before KH.

        bias      initialises a bias in a network with random weights, which has none without it
        to        names the reader of the result in errors; it determines out_channels
        weight    the file's name of the weight, where it is not `name`.weight
        computed  the file's weight -> the weight that is used, of the same shape: standardisation
        """
        channels = self.channels[x]

        def why() -> str:
            size = "x".join(map(str, window.kernel_size))
            axes = "THW"[-len(window.stride) :]
            sizes = ", ".join(f"{axis}/{s}" if s > 1 else axis for axis, s in zip(axes, window.stride, strict=True))
            return (
                f"  input   (N, {channels}, {', '.join(axes)})   from {x}\n"
                f"  output  (N, {out_channels}, {sizes}){f'   {to}' if to else ''}\n"
                f"  Each filter sees in_channels/groups channels through a {size} window, groups = {groups}. {MIXED}"
            )

        if channels % groups or out_channels % groups:
            raise ArchitectureError(f"{name} cannot have {groups} groups, which must divide both channels\n{why()}")
        shape = (out_channels, channels // groups, *window.kernel_size)
        is_clip = len(window.stride) == 3
        axes = CONV3D_AXES if is_clip else CONV_AXES
        filters = self.source.take(Wanted(weight or f"{name}.weight", shape, axes, start, why))
        if computed is not None:
            filters = computed(filters)
        numbers = self.source.take_optional(Wanted(f"{name}.bias", (out_channels,), CHANNEL_AXES, bias, why))
        params = {"weight": filters} if numbers is None else {"weight": filters, "bias": numbers}
        op = "conv3d" if is_clip else "conv2d"
        return self._add(name, op, (x,), out_channels, window=window, groups=groups, params=params)

    def batch_norm(self, name: str, x: str, *, eps: float, start: Start = ones) -> str:
        """BatchNorm with its statistics; all four vectors are required. `start` initialises random weights.

        x itself where the file's convolutions have taken up their norms (`Source.norms_fused`).
        """
        if self.source.norms_fused:
            return x
        params = self._vectors(name, x, {"weight": start, "bias": zeros, "running_mean": zeros, "running_var": ones})
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
        return self.activation(name, x, "relu", **attrs)

    def activation(self, name: str, x: str, kind: str, **attrs: Any) -> str:
        """An elementwise function; `kind` is a name of `ops.registry.ACTIVATIONS`, or "none" for x itself."""
        return x if kind == "none" else self._add(name, kind, (x,), attrs=attrs)

    def prelu(self, name: str, x: str) -> str:
        """A leaky ReLU whose slopes are parameters: `name`.weight, one a channel or one for all."""
        shape = (1,) if self.source.shape_of(f"{name}.weight") == (1,) else (self.channels[x],)
        slope = Wanted(f"{name}.weight", shape, CHANNEL_AXES, _quarter, lambda: f"  input   from {x}")
        return self._add(name, "prelu", (x,), params={"weight": self.source.take(slope)})

    def group_norm(self, name: str, x: str, *, groups: int, eps: float, affine: bool = True) -> str:
        """GroupNorm; with as many groups as channels InstanceNorm, which may have no parameters (affine=False)."""
        channels = self.channels[x]
        params = self._vectors(name, x, {"weight": ones, "bias": zeros} if affine else {})
        if channels % groups:
            raise ArchitectureError(
                f"{name} cannot have {groups} groups, which must divide the {channels} channels: give norm_groups=. "
                "Norms without running statistics are taken for GroupNorm; others that have the same tensors "
                "(InstanceNorm, LayerNorm, BatchNorm with track_running_stats=False or saved without its buffers) "
                "are not supported"
            )
        return self._add(name, "group_norm", (x,), params=params, attrs={"groups": groups, "eps": eps})

    def affine(self, name: str, x: str, scale: Array | float = 1.0, shift: Array | float = 0.0) -> str:
        """x * scale + shift, given numbers: one for all channels, or one a channel. A BatchNorm without statistics."""
        shape = (self.channels[x],)
        weight, bias = (np.broadcast_to(np.asarray(n, np.float32), shape) for n in (scale, shift))
        statistics = {"running_mean": np.zeros(shape, np.float32), "running_var": np.ones(shape, np.float32)}
        params = {"weight": weight, "bias": bias, **statistics}
        return self._add(name, "batch_norm", (x,), params=params, attrs={"eps": 0.0})

    def operation(self, name: str, op: str, inputs: Sequence[str], channels: int | None = None, **fields: Any) -> str:
        """Any operation without further rules; `channels` of its result, by default those of its first input.

        With `vectors`, {role: start}, its parameters (C,) are `name`.<role>, C the channels of its first input.
        """
        vectors = fields.pop("vectors", None)
        if vectors is not None:
            fields["params"] = self._vectors(name, inputs[0], vectors)
        return self._add(name, op, tuple(inputs), channels, **fields)

    def again(self, name: str, layer: str, x: str) -> str:
        """The earlier layer called `layer`, with its parameters, applied to another value."""
        self.channels[name] = self.channels[layer]
        self._nodes.append(replace(next(n for n in self._nodes if n.name == layer), name=name, inputs=(x,)))
        return name

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

    def multiply(self, name: str, x: str, gate: str) -> str:
        """x times a map of its shape, a gate (C, 1, 1) or (C,), or a map (1, H, W)."""
        return self._add(name, "multiply", (x, gate))

    def concat(self, name: str, parts: Sequence[str]) -> str:
        """The channels of all parts, one part after the other."""
        return self._add(name, "concat", tuple(parts), sum(self.channels[part] for part in parts))

    def slice_channels(self, name: str, x: str, start: int, stop: int) -> str:
        return self._add(name, "slice_channels", (x,), stop - start, attrs={"start": start, "stop": stop})

    def pad(self, name: str, x: str, padding: tuple[int, int, int, int], mode: str = "zeros") -> str:
        """`padding` is (left, right, top, bottom); mode "zeros" or "reflect"."""
        return self._add(name, "pad2d", (x,), attrs={"padding": padding, "mode": mode})

    def max_pool(self, name: str, x: str, window: Window, *, ceil_mode: bool = False) -> str:
        attrs = {"ceil_mode": True} if ceil_mode else {}
        return self._add(name, _pool("max", window), (x,), window=window, attrs=attrs)

    def avg_pool(
        self, name: str, x: str, window: Window, *, ceil_mode: bool = False, count_include_pad: bool = True
    ) -> str:
        attrs = {"ceil_mode": ceil_mode, "count_include_pad": count_include_pad}
        return self._add(name, _pool("avg", window), (x,), window=window, attrs=attrs)

    def global_avg_pool(self, name: str, x: str) -> str:
        return self._add(name, "global_avg_pool", (x,))

    def global_max_pool(self, name: str, x: str) -> str:
        return self._add(name, "global_max_pool", (x,))

    def channel_conv1d(self, name: str, x: str, kernel_size: int, **attrs: Any) -> str:
        """ECA's convolution over the channels of (C, 1, 1): weight (1, 1, kernel_size)."""
        axes = ("1", "1", "kernel_size")
        start = uniform_fan_in(kernel_size)
        wanted = Wanted(f"{name}.weight", (1, 1, kernel_size), axes, start, lambda: f"  input   from {x}")
        params = {"weight": self.source.take(wanted)}
        bias = self.source.take_optional(Wanted(f"{name}.bias", (1,), CHANNEL_AXES, None, wanted.why))
        if bias is not None:
            params["bias"] = bias
        return self._add(name, "channel_conv1d", (x,), params=params, attrs=attrs)

    def flatten(self, name: str, x: str) -> str:
        return self._add(name, "flatten", (x,))

    def shortcut_a(self, name: str, x: str, *, stride: int, pad_channels: tuple[int, int]) -> str:
        """x[:, :, ::stride, ::stride] between zero channels; of clips every stride-th frame, too."""
        attrs = {"stride": stride, "pad_channels": pad_channels}
        return self._add(name, "shortcut_a", (x,), self.channels[x] + sum(pad_channels), attrs=attrs)

    def _vectors(self, name: str, x: str, starts: Mapping[str, Start]) -> dict[str, Array]:
        """{role: `name`.<role>}, each with one number a channel of x."""
        channels = self.channels[x]

        def why() -> str:
            return f"  input   (N, {channels}, H, W)   from {x}\n  It needs one number for each channel. {MIXED}"

        wanted = {
            role: Wanted(f"{name}.{role}", (channels,), CHANNEL_AXES, first, why) for role, first in starts.items()
        }
        return {role: self.source.take(one) for role, one in wanted.items()}

    def network(self, outputs: Mapping[str, str]) -> Network:
        """The complete network. Raises ArchitectureError where tensors are unused."""
        self.source.finish()
        return Network(tuple(self._nodes), outputs)

    def _add(self, name: str, op: str, inputs: tuple[str, ...], channels: int | None = None, **fields: Any) -> str:
        self.channels[name] = self.channels[inputs[0]] if channels is None else channels
        self._nodes.append(Node(name, op, inputs, **fields))
        return name
