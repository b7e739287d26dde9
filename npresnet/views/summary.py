"""The table of the `torchsummary` package, digit for digit, computed from the Network without running it.

One row per call of a module, in the order in which calls finish, and one per residual block. Sizes assume 4 bytes per
number and count every output twice (for its gradient), as torchsummary does. Element counts are Python integers; the
15200.01 MB often quoted for ResNet-50 is a 32-bit overflow of 17567.99.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from numbers import Integral

from npresnet.errors import ShapeError
from npresnet.network import Network
from npresnet.ops.record import trained_numbers
from npresnet.ops.registry import operation_of
from npresnet.plan.shapes import infer_shapes

ROW = "{:>20}  {:>25} {:>15}"
MEBIBYTE = 1024.0**2
BYTES_PER_NUMBER = 4

Row = tuple[str, tuple[int, ...], int]  # class name, output shape without the batch axis, parameters


def summary(network: Network, input_size: Sequence[int], batch_size: int = -1) -> str:
    """The torchsummary table of an unfused network.

    input_size  (C, H, W), of a network for clips (C, T, H, W)
    batch_size  first axis of the shapes; with -1, torchsummary's default for any batch size, the sizes in MB are those
                of one image

    Raises ShapeError if the image is too small for the network.
    """
    shape = _checked(input_size, batch_size, network.takes_clips)
    rows = list(_rows(network, shape))
    images = abs(batch_size)
    params = sum(count for _, _, count in rows)
    input_mb = math.prod(shape) * images * BYTES_PER_NUMBER / MEBIBYTE
    outputs_mb = 2 * sum(math.prod(size) for _, size, _ in rows) * images * BYTES_PER_NUMBER / MEBIBYTE
    params_mb = params * BYTES_PER_NUMBER / MEBIBYTE
    lines = [
        "-" * 64,
        ROW.format("Layer (type)", "Output Shape", "Param #"),
        "=" * 64,
        *(
            ROW.format(f"{name}-{number}", str([batch_size, *size]), f"{count:,}")
            for number, (name, size, count) in enumerate(rows, 1)
        ),
        "=" * 64,
        f"Total params: {params:,}",
        f"Trainable params: {params:,}",
        "Non-trainable params: 0",
        "-" * 64,
        f"Input size (MB): {input_mb:.2f}",
        f"Forward/backward pass size (MB): {outputs_mb:.2f}",
        f"Params size (MB): {params_mb:.2f}",
        f"Estimated Total Size (MB): {input_mb + outputs_mb + params_mb:.2f}",
        "-" * 64,
    ]
    return "\n".join(lines)


def parameter_count(network: Network) -> int:
    """Number of trainable parameters: all arrays but BatchNorm's running statistics; those of a layer once."""
    first = {tuple(map(id, node.params.values())) or node.name: node for node in reversed(network.nodes)}
    return sum(trained_numbers(node) for node in first.values())


def _rows(network: Network, input_size: tuple[int, ...]) -> Iterator[Row]:
    shapes = infer_shapes(network, input_size)
    for node in network:
        size = shapes[node.name]
        title = "" if node.attrs.get("constant") else operation_of(node).title
        if network.takes_clips:
            title = title.replace("2d", "3d")  # BatchNorm3d, AdaptiveAvgPool3d
        if title:  # "": a function rather than a module in torchvision, not seen by torchsummary
            yield title, size, trained_numbers(node)
        if "block" in node.attrs:
            yield node.attrs["block"], size, 0


def _checked(input_size: Sequence[int], batch_size: int, is_clip: bool) -> tuple[int, ...]:
    if not _is_integer(batch_size) or (batch_size != -1 and batch_size < 1):
        raise ShapeError(f"batch_size must be an integer >= 1, or -1 for any, got {batch_size!r}")
    shape = tuple(input_size) if isinstance(input_size, Iterable) else ()
    one = "clip, (channels, frames, height, width)" if is_clip else "image, (channels, height, width)"
    if len(shape) != 3 + is_clip or not all(_is_integer(size) and size >= 1 for size in shape):
        raise ShapeError(f"input_size must be the shape of one {one}, got {input_size!r}")
    return tuple(map(int, shape))


def _is_integer(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)
