"""A Layout and tensors -> Network: the one place that knows how a residual network is put together.

    stem -> (max pool) -> stages of blocks -> global average pool -> flatten -> (classifier)

    BasicBlock   relu(bn2(conv2 3x3 (relu(bn1(conv1 3x3 (x)))))                                  + shortcut(x))
    Bottleneck   relu(bn3(conv3 1x1 (relu(bn2(conv2 3x3 (relu(bn1(conv1 1x1 (x)))))))            + shortcut(x))

(He et al., Deep Residual Learning for Image Recognition, sections 3 and 4.) Nodes stand in the order in which
torchvision's modules finish, and bear their names.
"""

from __future__ import annotations

from npresnet.arch.builder import Builder
from npresnet.arch.layout import Layout
from npresnet.arch.tensors import CONV_AXES, Tensors
from npresnet.errors import ArchitectureError
from npresnet.network import INPUT, Network
from npresnet.window import Window

POINTWISE = Window.of(1)
MAX_POOL = Window.of(3, stride=2, padding=1)


def build_residual(layout: Layout, tensors: Tensors) -> Network:
    """The network of `layout` with these tensors; its output is "logits", or "embedding" where there is no classifier.

    Raises ArchitectureError where a tensor is missing or left over, or shapes do not chain.
    """
    builder = Builder(tensors, in_channels=layout.in_channels, bn_eps=layout.bn_eps)
    x = _stem(builder, layout)
    for name, stride, dilation in layout.steps():
        x = _block(builder, layout, name, x, stride, dilation)
    x = builder.global_avg_pool("avgpool", x)  # (N, C, 1, 1)
    x = builder.flatten("flatten", x)  # (N, C)
    for name in layout.head:
        x = builder.linear(name, x) if f"{name}.weight" in tensors else builder.relu(name, x)
    return builder.network({"logits" if layout.head else "embedding": x})


def _stem(builder: Builder, layout: Layout) -> str:
    kernel_size = builder.tensors.peek("conv1.weight", CONV_AXES).shape[2:]
    x = builder.conv("conv1", INPUT, _same_window(kernel_size[0], layout.stem_stride))
    x = builder.relu("relu", builder.batch_norm("bn1", x))
    return builder.max_pool("maxpool", x, MAX_POOL) if layout.max_pool else x


def _block(builder: Builder, layout: Layout, name: str, x: str, stride: int, dilation: int) -> str:
    branch = _bottleneck_branch if layout.block == "Bottleneck" else _basic_branch
    y = branch(builder, layout, name, x, stride, dilation)
    y = builder.add(f"{name}.add", y, _shortcut(builder, layout, name, x, y, stride))
    last = 3 if layout.block == "Bottleneck" else 2
    return builder.relu(f"{name}.relu.{last}", y, block=layout.block)


def _basic_branch(builder: Builder, layout: Layout, name: str, x: str, stride: int, dilation: int) -> str:
    y = builder.conv(f"{name}.conv1", x, _same_window(3, stride))
    y = builder.relu(f"{name}.relu.1", builder.batch_norm(f"{name}.bn1", y))
    y = builder.conv(f"{name}.conv2", y, _same_window(3))
    return builder.batch_norm(f"{name}.bn2", y)


def _bottleneck_branch(builder: Builder, layout: Layout, name: str, x: str, stride: int, dilation: int) -> str:
    stride_1x1, stride_3x3 = (stride, 1) if layout.stride_on == "1x1" else (1, stride)
    y = builder.conv(f"{name}.conv1", x, Window.of(1, stride=stride_1x1))
    y = builder.relu(f"{name}.relu.1", builder.batch_norm(f"{name}.bn1", y))
    y = builder.conv(f"{name}.conv2", y, _same_window(3, stride_3x3, dilation), groups=layout.groups)
    y = builder.relu(f"{name}.relu.2", builder.batch_norm(f"{name}.bn2", y))
    y = builder.conv(f"{name}.conv3", y, POINTWISE)
    return builder.batch_norm(f"{name}.bn3", y)


def _shortcut(builder: Builder, layout: Layout, name: str, x: str, y: str, stride: int) -> str:
    """What is added to the branch y: a projection where the file has one, option A, or x itself."""
    projection = f"{name}.{layout.projection}"
    if f"{projection}.0.weight" in builder.tensors:
        z = builder.conv(f"{projection}.0", x, Window.of(1, stride=stride))
        return builder.batch_norm(f"{projection}.1", z)
    channels, out_channels = builder.channels[x], builder.channels[y]
    if layout.option_a and (stride != 1 or channels != out_channels):
        return _option_a(builder, name, x, out_channels, stride)
    if stride != 1 or channels != out_channels:
        raise ArchitectureError(
            f"{projection}.0.weight is missing: {name} needs a projection beside its branch\n"
            f"  input   (N, {channels}, H, W)   from {x}\n"
            f"  branch  (N, {out_channels}, H/{stride}, W/{stride})   from {y}\n"
            f"  The two can be added only after a 1x1 convolution with stride {stride}. Was the file saved in part?"
        )
    return x


def _option_a(builder: Builder, name: str, x: str, out_channels: int, stride: int) -> str:
    """He et al., section 3.3, option A; out_channels // 4 channels of zeros on either side, as is usual for CIFAR."""
    channels, pad = builder.channels[x], out_channels // 4
    if channels + 2 * pad != out_channels:
        raise ArchitectureError(
            f"{name} has no projection, and its shortcut cannot be padded with zeros (option A)\n"
            f"  input   (N, {channels}, H, W)   from {x}\n"
            f"  branch  (N, {out_channels}, H/{stride}, W/{stride})\n"
            f"  Option A adds out_channels // 4 = {pad} channels on either side, which gives {channels + 2 * pad}."
        )
    return builder.shortcut_a(f"{name}.shortcut", x, stride=stride, pad_channels=(pad, pad))


def _same_window(kernel_size: int, stride: int = 1, dilation: int = 1) -> Window:
    """Padded so that stride 1 keeps the size."""
    return Window.of(kernel_size, stride=stride, padding=dilation * (kernel_size // 2), dilation=dilation)
