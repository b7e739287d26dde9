"""3-D ResNets with the names of 2-D ones: those of kenshohara/3D-ResNets-PyTorch, and MedicalNet's for volumes.

    conv1 kx7x7 -> max pool 3x3x3 -> layer1..4 of BasicBlocks or Bottlenecks -> average over all positions -> fc

    kenshohara    conv1 strides in height and width only, unless trained with conv1_t_stride=2
    MedicalNet    volumes of one channel; conv1 strides on all axes; layer3 and layer4 keep their size and are dilated
                  by 2 and 4 (output_stride 8)

Shortcut A, without weights, takes every stride-th position and appends channels of zeros (Hara et al. 2018, "Can
Spatiotemporal 3D CNNs Retrace the History of 2D CNNs and ImageNet?", section 3; Chen et al. 2019, "Med3D").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from npresnet.arch.builder import Builder
from npresnet.arch.clips import (
    CLIP_OPTIONS,
    classifier_of,
    depths,
    head_decisions,
    is_conv3d,
    kernel_size,
    last_decisions,
    pooled_and_classified,
    same,
    width,
)
from npresnet.arch.family import Options, Reading, name_in
from npresnet.arch.options import Option, count, flag, is_list_of, is_whole, one_of
from npresnet.arch.source import CONV3D_AXES
from npresnet.arch.tensors import Tensors
from npresnet.config import Decision
from npresnet.errors import ArchitectureError
from npresnet.network import INPUT
from npresnet.window import Window

NAME = "resnet3d"
ANY = "resnet_3d"  # the name of networks without a specific one
POINT = (1, 1, 1)
MOST_STAGES = 4
# output_stride -> (stride, dilation) of each stage
STRIDES = {8: ((1, 1), (2, 1), (1, 2), (1, 4)), 16: ((1, 1), (2, 1), (2, 1), (1, 2)), 32: ((1, 1),) + ((2, 1),) * 3}
MEANS = "of Kinetics in 0..1; files of 2018 were trained on 0..255 with ActivityNet's means and std 1"

OPTIONS: Mapping[str, Option] = {
    "block": one_of("BasicBlock", "Bottleneck", role="topology"),
    "layers": Option(is_list_of(is_whole), "a list of whole numbers", "topology"),
    "shortcut": one_of("A-end", "B", role="topology"),
    "conv1_t_stride": count("free"),
    "max_pool": flag("free"),
    "output_stride": Option(lambda value: is_whole(value) and value in STRIDES, "8, 16 or 32", "free"),
    **CLIP_OPTIONS,
}

LAYERS = {
    10: ("BasicBlock", [1, 1, 1, 1]),
    18: ("BasicBlock", [2, 2, 2, 2]),
    34: ("BasicBlock", [3, 4, 6, 3]),
    50: ("Bottleneck", [3, 4, 6, 3]),
    101: ("Bottleneck", [3, 4, 23, 3]),
    152: ("Bottleneck", [3, 8, 36, 3]),
    200: ("Bottleneck", [3, 24, 36, 3]),
}


def _net(depth: int, **more: Any) -> Options:
    block, layers = LAYERS[depth]
    return {"block": block, "layers": layers, **more}


ARCHS: Mapping[str, Options] = {
    **{f"resnet{depth}_3d": _net(depth, in_channels=3) for depth in LAYERS},
    **{f"medicalnet_resnet{depth}": _net(depth, in_channels=1, conv1_t_stride=2, output_stride=8) for depth in LAYERS},
}


def named(name: str) -> Options | None:
    return {} if name == ANY else ARCHS.get(name)


def signature(tensors: Tensors) -> bool:
    return is_conv3d(tensors, "conv1.weight") and is_conv3d(tensors, "layer1.0.conv1.weight")


def read(tensors: Tensors) -> Reading:
    layers = depths(tensors)
    if len(layers) > MOST_STAGES:
        raise ArchitectureError(f"a 3-D ResNet has at most four stages, got {len(layers)}, of {layers} blocks")
    block = "Bottleneck" if tensors.has(r"^layer[0-9]+\.[0-9]+\.conv3\.weight$") else "BasicBlock"
    has_projections = tensors.has(r"^layer[0-9]+\.[0-9]+\.downsample\.")
    convs = (1, 2, 3) if block == "Bottleneck" else (1, 2)
    names = [f"layer{i}.{j}" for i, depth in enumerate(layers, 1) for j in range(depth)]
    widths = {name: tuple(width(tensors, f"{name}.conv{k}", f"{name}.bn{k}") for k in convs) for name in names}
    head = classifier_of(tensors, widths[names[-1]][-1])
    in_channels = tensors.peek("conv1.weight", CONV3D_AXES).shape[1]
    decisions = {
        "family": Decision(NAME, "inferred"),
        "block": Decision(block, "inferred"),
        "layers": Decision(layers, "inferred"),
        **head_decisions(head),
        "in_channels": Decision(in_channels, "inferred"),
        "shortcut": Decision("B", "inferred") if has_projections else Decision("A-end", "inferred", "no projections"),
        **_unknown(in_channels, len(layers)),
        "bn_eps": Decision(1e-5, "default"),
        **last_decisions(in_channels, "kinetics-hara", MEANS),
    }
    sizes = {
        "stem_kernel": kernel_size(tensors, "conv1.weight"),
        "stem_channels": width(tensors, "conv1", "bn1"),
        "widths": widths,
        "file_head": head,
    }
    return Reading({"arch": Decision(name_in(ARCHS, decisions) or ANY, "inferred"), **decisions}, sizes)


def _unknown(in_channels: int, stages: int) -> dict[str, Decision]:
    """What the tensors do not tell: one channel is a volume's."""
    pool = Decision(True, "default")
    if in_channels == 1 and stages == 4:
        note = "one channel: MedicalNet's, which dilates layer3 and layer4"
        dilated = Decision(8, "default", note, ("output_stride=32",))
        return {"conv1_t_stride": Decision(2, "default", "MedicalNet's"), "max_pool": pool, "output_stride": dilated}
    return {
        "conv1_t_stride": Decision(1, "default", "the repository's"),
        "max_pool": pool,
        "output_stride": Decision(32, "default"),
    }


def build(builder: Builder, options: Options) -> Mapping[str, str]:
    return _Net(builder, options).outputs()


class _Net:
    """One network under construction."""

    def __init__(self, builder: Builder, options: Options):
        self.builder, self.options = builder, options
        self.eps: float = options.get("bn_eps", 1e-5)
        self.widths: Mapping[str, tuple[int, ...]] = options.get("widths", {})
        self.planes: int = options.get("stem_channels", 64)

    def outputs(self) -> Mapping[str, str]:
        x = self._stem()
        layers, strides = self.options["layers"], STRIDES[self.options.get("output_stride", 32)]
        for i, (depth, (stride, dilation)) in enumerate(zip(layers, strides, strict=False)):
            for j in range(depth):
                x = self._block(f"layer{i + 1}.{j}", x, self.planes * 2**i, 1 if j else stride, dilation)
        return pooled_and_classified(self.builder, x, self.options)

    def _stem(self) -> str:
        kernel = self.options.get("stem_kernel", (7, 7, 7))
        x = self._conv_norm("conv1", "bn1", INPUT, self.planes, kernel, (self.options.get("conv1_t_stride", 1), 2, 2))
        x = self.builder.relu("relu", x)
        if not self.options.get("max_pool", True):
            return x
        return self.builder.max_pool("maxpool", x, Window.of(3, 2, 1, axes=3))

    def _block(self, name: str, x: str, planes: int, stride: int, dilation: int) -> str:
        is_basic, y = self.options["block"] == "BasicBlock", x
        widths = self.widths.get(name) or ((planes, planes) if is_basic else (planes, planes, 4 * planes))
        kernels = ((3, 3, 3), (3, 3, 3)) if is_basic else (POINT, (3, 3, 3), POINT)
        strided, last = (1 if is_basic else 2), len(widths)
        for k, (kernel, out_channels) in enumerate(zip(kernels, widths, strict=True), start=1):
            strides = (stride if k == strided else 1,) * 3
            y = self._conv_norm(f"{name}.conv{k}", f"{name}.bn{k}", y, out_channels, kernel, strides, dilation)
            if k < last:
                y = self.builder.relu(f"{name}.relu.{k}", y)
        y = self.builder.add(f"{name}.add", y, self._shortcut(name, x, widths[-1], stride))
        return self.builder.relu(f"{name}.relu.{last}", y, block=self.options["block"])

    def _shortcut(self, name: str, x: str, out_channels: int, stride: int) -> str:
        channels, projection = self.builder.channels[x], f"{name}.downsample"
        changes, projects = stride != 1 or channels != out_channels, f"{projection}.0.weight" in self.builder.source
        if not changes and not projects:
            return x
        if self.options.get("shortcut", "B") == "B" or projects:
            return self._conv_norm(f"{projection}.0", f"{projection}.1", x, out_channels, POINT, (stride,) * 3)
        if out_channels < channels:
            raise ArchitectureError(
                f"{name} has no projection, and its shortcut cannot be padded with zeros (option A)\n"
                f"  input   (N, {channels}, T, H, W)   from {x}\n"
                f"  branch  {out_channels} channels, which are fewer"
            )
        return self.builder.shortcut_a(name + ".shortcut", x, stride=stride, pad_channels=(0, out_channels - channels))

    def _conv_norm(
        self,
        conv: str,
        norm: str,
        x: str,
        planes: int,
        kernel: tuple[int, ...],
        stride: tuple[int, ...],
        dilation: int = 1,
    ) -> str:
        y = self.builder.conv(conv, x, planes, same(kernel, stride, dilation), to=f"to {norm}")
        return self.builder.batch_norm(norm, y, eps=self.eps)
