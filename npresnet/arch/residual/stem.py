"""The stem: one or several convolutions, and the pool after them. Described, read from a file, and built.

    one        conv1, bn1                                           7x7 of stride 2, or 3x3 of stride 1 for small images
    deep       conv1.0, .1, .3, .4, .6, bn1                          three 3x3, the first of stride 2 (ResNet-C, -D)
    deep       conv1, bn1, conv2, bn2, conv3, bn3                    the same, as networks for segmentation name it
    then       a 3x3 max pool of stride 2; or maxpool.0, maxpool.1   a 3x3 convolution of stride 2 (ResNet-RS)

(He et al., Bag of Tricks for Image Classification, section 4.2; Bello et al., Revisiting ResNets, section 4.)
"""

# No `from __future__ import annotations`: a NamedTuple would compile annotations that are strings, which slows a start.

from collections.abc import Sequence
from typing import Any, NamedTuple

from npresnet.arch.options import is_bool, is_whole
from npresnet.arch.residual.blocks import are_special
from npresnet.arch.source import CONV_AXES
from npresnet.arch.stages import is_preactivated
from npresnet.arch.tensors import Tensors
from npresnet.errors import ArchitectureError
from npresnet.window import Window

NUMBERED = "conv1."  # precedes the number of a deep stem's convolution


class StemConv(NamedTuple):
    """One convolution of a stem: its name, that of its norm, its out_channels and kernel_size."""

    conv: str
    norm: str
    channels: int
    kernel_size: int


class Pool(NamedTuple):
    """The pool after the stem."""

    kernel_size: int = 3
    stride: int = 2
    padding: int = 1
    ceil_mode: bool = False

    @property
    def window(self) -> Window:
        return Window.of(self.kernel_size, stride=self.stride, padding=self.padding)


USUAL_POOL = Pool()


def single(kernel_size: int = 7, channels: int = 64) -> tuple[StemConv, ...]:
    """torchvision's stem."""
    return (StemConv("conv1", "bn1", channels, kernel_size),)


def deep(widths: Sequence[int]) -> tuple[StemConv, ...]:
    """A deep stem of 3x3 convolutions with timm's names."""
    last = len(widths) - 1
    return tuple(
        StemConv(f"{NUMBERED}{3 * i}", "bn1" if i == last else f"{NUMBERED}{3 * i + 1}", width, 3)
        for i, width in enumerate(widths)
    )


def usual_windows(convs: Sequence[StemConv], first_stride: int = 2) -> list[list[int]]:
    """[kernel_size, stride, padding] of each convolution: "same" padding, and the stride on the first."""
    return [[c.kernel_size, first_stride if i == 0 else 1, c.kernel_size // 2] for i, c in enumerate(convs)]


def read_convs(tensors: Tensors) -> tuple[StemConv, ...]:
    """The stem's convolutions. Raises ArchitectureError where one is not square with an odd side."""
    numbers = [n for n in tensors.numbers_after(NUMBERED) if tensors.length(f"{NUMBERED}{n}.weight", 0, ndim=4)]
    if numbers:
        names = [(f"{NUMBERED}{n}", f"{NUMBERED}{n + 1}") for n in numbers[:-1]] + [(f"{NUMBERED}{numbers[-1]}", "bn1")]
    else:
        further = [n for n in (2, 3) if tensors.length(f"conv{n}.weight", 0, ndim=4)]
        names = [(f"conv{n}", f"bn{n}") for n in (1, *further)]
    return tuple(StemConv(conv, norm, *_size(tensors, conv)) for conv, norm in names)


def stem_side(tensors: Tensors) -> int | None:
    """The kernel_size of the first convolution in a network that has stages of usual blocks; None in any other.

    Networks with a norm before each block's first convolution, and those whose stem is layer0, are others. 0 where
    conv1.weight is not a convolution's: `read_convs` reports that.
    """
    if are_special(tensors) or not tensors.has(r"^layer1\.[0-9]+\.conv1\.(weight|conv\.weight)$"):
        return None
    if len(tensors.shape_of("conv1.weight") or ()) == 5 and len(tensors.shape_of("layer1.0.conv1.weight") or ()) == 5:
        return None
    if "layer0.conv1.weight" in tensors or is_preactivated(tensors):
        return None
    return max(tensors.length("conv1.weight", axis, ndim=4) or 0 for axis in (2, 3))


def is_deep(tensors: Tensors) -> bool:
    """Whether the stem has several convolutions."""
    return tensors.length(f"{NUMBERED}0.weight", 0, ndim=4) is not None or (
        tensors.length("conv2.weight", 0, ndim=4) is not None and "bn2.weight" in tensors
    )


def pool_of(max_pool: Any) -> Pool | None:
    """The option `max_pool` as a Pool: True, False, or [kernel_size, stride, padding(, ceil_mode)]."""
    if isinstance(max_pool, bool) or max_pool is None:
        return USUAL_POOL if max_pool else None
    return Pool(*max_pool)


def is_pool(value: Any) -> bool:
    """Whether this is a value of the option `max_pool`."""
    if is_bool(value):
        return True
    if not isinstance(value, (list, tuple)) or len(value) not in (3, 4):
        return False
    kernel_size, stride, padding, *ceil = value
    sizes = is_whole(kernel_size) and is_whole(stride) and is_whole(padding, least=0)
    return sizes and all(map(is_bool, ceil)) and padding <= kernel_size // 2


def is_stem(value: Any) -> bool:
    """Whether this is a value of the option `stem`."""
    return isinstance(value, (list, tuple)) and len(value) > 0 and all(map(_is_window, value))


def _is_window(value: Any) -> bool:
    fits = isinstance(value, (list, tuple)) and len(value) == 3
    return fits and is_whole(value[0]) and is_whole(value[1]) and is_whole(value[2], least=0)


def _size(tensors: Tensors, conv: str) -> tuple[int, int]:
    """(out_channels, kernel_size) of a convolution, which must be square."""
    weight = tensors.peek(f"{conv}.weight", CONV_AXES)
    height, width = map(int, weight.shape[2:])
    if height != width or height % 2 == 0 or height == 1:
        raise ArchitectureError(
            f"{conv}.weight has shape {weight.shape} ({', '.join(CONV_AXES)}), but the first convolution of every "
            f"ResNet that npresnet knows is 7x7 or 3x3, or at least square with an odd side"
        )
    return weight.shape[0], height
