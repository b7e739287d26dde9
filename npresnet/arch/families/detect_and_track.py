"""The 3-D ResNet bodies of Detect-and-Track, in the names of Caffe2: facebookresearch/DetectAndTrack, ResNet3D.py.

    conv1 1x7x7 stride (1,2,2) -> pool1 1x3x3 stride (1,2,2) -> res2 .. res4 (stride 16) or .. res5 (stride 32)

    basic        res2_0_branch2a, branch2b                3x3 with the stride, 3x3
    bottleneck   res2_0_branch2a, branch2b, branch2c      1x1, 3x3, 1x1; the stride on the first with stride_on "1x1"

The 3x3 convolutions span KT frames in res3 and later, as their weights say. Time is strided only with TIME_STRIDE_ON.
Every convolution is followed by an AffineChannel, y = s*x + b (`<name>_bn_s`, `_bn_b`): a BatchNorm without statistics.
Where the widths agree there is no branch1. A block's sum is called `res2_0_sum`, as its blob. (Girdhar et al. 2018,
"Detect-and-Track: Efficient Pose Estimation in Videos", section 3.)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from npresnet.arch.builder import Builder
from npresnet.arch.clips import is_conv3d, same
from npresnet.arch.family import Options, Reading, name_in
from npresnet.arch.head.build import Head, pool_and_classify
from npresnet.arch.options import Option, count, flag, is_list_of, is_whole, one_of
from npresnet.arch.source import CHANNEL_AXES, CONV3D_AXES, Wanted, ones, zeros
from npresnet.arch.tensors import Tensors, shorten
from npresnet.config import Decision
from npresnet.errors import ArchitectureError
from npresnet.network import INPUT
from npresnet.window import Window

NAME = "detect_and_track"
ANY = "detectandtrack_resnet"  # the name of networks without a specific one
POINT = (1, 1, 1)
FRAMES = 3  # of the repository's configurations
STAGES = {"conv4": 3, "conv5": 4}
BODY = r"^(conv1_w|res_conv1_bn_[sb]|res[2-5]_[0-9]+_branch(1|2[abc])(_w|_bn_[sb]))$"
MEANS = "the repository subtracts 102.9801, 115.9465, 122.7717 from pixels in the order BGR"

OPTIONS: Mapping[str, Option] = {
    "block": one_of("BasicBlock", "Bottleneck", role="topology"),
    "layers": Option(is_list_of(is_whole), "a list of whole numbers", "topology"),
    "body": one_of(*STAGES, role="seen"),
    "time_stride_on": flag("free"),
    "stride_on": one_of("1x1", "3x3", role="free"),
    "frames": count("free"),
}

LAYERS = {
    18: ("BasicBlock", [2, 2, 2, 2]),
    34: ("BasicBlock", [3, 4, 6, 3]),
    50: ("Bottleneck", [3, 4, 6, 3]),
    101: ("Bottleneck", [3, 4, 23, 3]),
    152: ("Bottleneck", [3, 8, 36, 3]),
}
ARCHS: Mapping[str, Options] = {
    f"detectandtrack_resnet{depth}_{body}": {"block": block, "layers": layers[:stages], "body": body}
    for depth, (block, layers) in LAYERS.items()
    for body, stages in STAGES.items()
}


def named(name: str) -> Options | None:
    return {} if name == ANY else ARCHS.get(name)


def signature(tensors: Tensors) -> bool:
    return is_conv3d(tensors, "conv1_w") and is_conv3d(tensors, "res2_0_branch2a_w")


def read(tensors: Tensors) -> Reading:
    block = "Bottleneck" if "res2_0_branch2c_w" in tensors else "BasicBlock"
    layers = _layers(tensors)
    body = _body(tensors, layers)
    layers = layers[: STAGES[body.value]]
    outside = sorted((name for name in tensors if not _belongs(name, len(layers))), key=lambda n: n.startswith("res5_"))
    in_channels = tensors.peek("conv1_w", CONV3D_AXES).shape[1]
    decisions = {
        "family": Decision(NAME, "inferred"),
        "block": Decision(block, "inferred"),
        "layers": Decision(layers, "inferred"),
        "body": body,
        "num_classes": Decision(None, "inferred", "a body without classifier"),
        "in_channels": Decision(in_channels, "inferred"),
        "time_stride_on": Decision(False, "default", "TIME_STRIDE_ON of the repository's configurations"),
        **({"stride_on": Decision("1x1", "default", "the repository's STRIDE_1X1")} if block == "Bottleneck" else {}),
        **(
            {"ignored": Decision(shorten(outside), "inferred", "heads of detection; this is their body")}
            if outside
            else {}
        ),
        "frames": Decision(FRAMES, "default", "where no clip says it; a clip may have any number"),
        "preprocess": Decision("detect-and-track" if in_channels == 3 else None, "default", MEANS),
        "labels": Decision(None, "default"),
    }
    sizes = {"shapes": {name: tensors.shape(name) for name in tensors if name.endswith("_w")}, "outside": outside}
    return Reading({"arch": Decision(name_in(ARCHS, decisions) or ANY, "inferred"), **decisions}, sizes)


def _layers(tensors: Tensors) -> list[int]:
    """Blocks of res2, res3, ..., which must be numbered without gaps."""
    layers = []
    for stage in range(2, 6):
        prefix = f"res{stage}_"
        rests = (name[len(prefix) :].partition("_") for name in tensors if name.startswith(prefix))
        numbers = sorted({int(number) for number, _, rest in rests if number.isdecimal() and rest.startswith("branch")})
        if numbers != list(range(len(numbers))):
            raise ArchitectureError(
                f"the blocks {prefix}0, {prefix}1, ... must be numbered without gaps, got {numbers}"
            )
        layers.append(len(numbers))
    while layers and not layers[-1]:
        layers.pop()
    if len(layers) < min(STAGES.values()) or 0 in layers:
        raise ArchitectureError(f"a body has the stages res2, res3 and res4, and may have res5; their blocks: {layers}")
    return layers


def _body(tensors: Tensors, layers: list[int]) -> Decision:
    """conv4 or conv5: res5 may be the last stage, or a head on res4, as the input of conv_rpn_w tells."""
    if len(layers) == 3:
        return Decision("conv4", "inferred", "there is no res5")
    last = "c" if "res4_0_branch2c_w" in tensors else "b"
    width = tensors.length(f"res4_0_branch2{last}_w", 0, ndim=5)
    if width is not None and "conv_rpn_w" in tensors and tensors.shape("conv_rpn_w")[1:2] == (width,):
        return Decision("conv4", "inferred", "the proposals are made from res4; res5 is a head")
    return Decision("conv5", "inferred", "res5 is there")


def _belongs(name: str, stages: int) -> bool:
    return re.search(BODY, name) is not None and not name.startswith(tuple(f"res{i + 2}_" for i in range(stages, 4)))


def build(builder: Builder, options: Options) -> Mapping[str, str]:
    for name in options.get("outside", ()):
        builder.source.skip(name)
    return _Body(builder, options).outputs()


class _Body:
    """One body under construction."""

    def __init__(self, builder: Builder, options: Options):
        self.builder = builder
        self.is_basic = options["block"] == "BasicBlock"
        self.layers: list[int] = options["layers"][: STAGES[options["body"]]]
        self.strides_time: bool = options.get("time_stride_on", False)
        self.on_first: bool = self.is_basic or options.get("stride_on", "1x1") == "1x1"
        self.shapes: Mapping[str, tuple[int, ...]] = options.get("shapes", {})

    def outputs(self) -> Mapping[str, str]:
        x = self._conv_affine("conv1", "res_conv1_bn", INPUT, 64, (1, 7, 7), (1, 2, 2))
        x = self.builder.relu("conv1_relu", x)
        x = self.builder.max_pool("pool1", x, Window.of((1, 3, 3), (1, 2, 2), (0, 1, 1), axes=3))
        for i, depth in enumerate(self.layers):
            for j in range(depth):
                x = self._block(f"res{i + 2}_{j}", x, 64 * 2**i, i > 0 and j == 0, 3 if i else 1)
        return pool_and_classify(self.builder, x, Head())

    def _block(self, name: str, x: str, planes: int, strides: bool, frames: int) -> str:
        """relu(branch2(x) + shortcut(x)); its stride is 2 where it changes the width, except in res2."""
        builder, y = self.builder, x
        out_channels = self._width(
            f"{name}_branch2{'b' if self.is_basic else 'c'}", planes * (1 if self.is_basic else 4)
        )
        stride = 2 if strides and builder.channels[x] != out_channels else 1
        kernel = (frames, 3, 3)
        windows = (
            [(kernel, stride), (kernel, 1)]
            if self.is_basic
            else [(POINT, stride if self.on_first else 1), (kernel, 1 if self.on_first else stride), (POINT, 1)]
        )
        for letter, (size, step) in zip("abc", windows, strict=False):
            conv, is_last = f"{name}_branch2{letter}", letter == ("b" if self.is_basic else "c")
            width = out_channels if is_last else self._width(conv, planes)
            y = self._conv_affine(conv, f"{conv}_bn", y, width, size, self._strides(step))
            if not is_last:
                y = builder.relu(f"{conv}_relu", y)
        shortcut = x
        if builder.channels[x] != out_channels:
            conv = f"{name}_branch1"
            shortcut = self._conv_affine(conv, f"{conv}_bn", x, out_channels, POINT, self._strides(stride))
        y = builder.add(f"{name}_sum.add", y, shortcut)
        return builder.relu(f"{name}_sum.relu", y, block="BasicBlock" if self.is_basic else "Bottleneck")

    def _strides(self, stride: int) -> tuple[int, int, int]:
        return stride if self.strides_time else 1, stride, stride

    def _width(self, conv: str, usual: int) -> int:
        return self.shapes.get(f"{conv}_w", (usual,))[0]

    def _conv_affine(
        self, conv: str, norm: str, x: str, planes: int, kernel: tuple[int, ...], stride: tuple[int, ...]
    ) -> str:
        """ConvAffineNd: a convolution over as many frames as its weight has, and its AffineChannel."""
        shape = self.shapes.get(f"{conv}_w", ())
        if len(shape) == 5 and shape[2] % 2:
            kernel = (shape[2], *kernel[1:])
        y = self.builder.conv(
            conv, x, self._width(conv, planes), same(kernel, stride), weight=f"{conv}_w", to=f"to {norm}"
        )
        channels = self.builder.channels[y]

        def take(role: str, start: Any) -> Any:
            why = f"  input   (N, {channels}, T, H, W)   from {y}\n  AffineChannel needs one number for each channel."
            return self.builder.source.take(Wanted(f"{norm}_{role}", (channels,), CHANNEL_AXES, start, lambda: why))

        return self.builder.affine(norm, y, take("s", ones), take("b", zeros))
