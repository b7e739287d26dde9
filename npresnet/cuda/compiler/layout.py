"""Layout: where a batch's numbers lie on the GPU, in one block of memory: decided before any of it is asked for.

Values are stored NHWC in the element's storage, without halos. Two other things share the block:

    the images as they come, (N, C, H, W) float32, or pixels, (N, H, W, C) uint8: until a kernel has brought them into
    NHWC
    the results that are asked for, (N, ...) float32, in the order NCHW: from the node that makes them to the end

The workspace of kernels that need one follows them: kernels run one after the other, so one is enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import NamedTuple

from npresnet.cuda.pixels import Normalisation
from npresnet.network import INPUT, Network
from npresnet.plan.lifetimes import Lifetime
from npresnet.plan.shapes import Shape

FLOAT_BYTES = 4


class Stored(NamedTuple):
    """How one image's value is stored: (height, width, channels) numbers; a vector is an image of one pixel.

    A clip is an image of all its frames' rows: what has no window need not know that there are frames.
    """

    height: int
    width: int
    channels: int

    @property
    def positions(self) -> int:
        """Pixels."""
        return self.height * self.width


class Value(NamedTuple):
    """One value of `images` images; implements `plan.layout.Placed`.

    shape         of one image, (C, H, W) or (C,), as the network has it
    stored        as it lies in memory: with more channels where they are padded
    item_bytes    of one number
    offset_bytes  from the arena's start
    """

    images: int
    shape: Shape
    stored: Stored
    item_bytes: int
    lifetime: Lifetime
    offset_bytes: int

    @property
    def size(self) -> int:
        """Numbers of all images."""
        return self.images * prod(self.stored)

    @property
    def size_bytes(self) -> int:
        """Of all images."""
        return self.size * self.item_bytes

    @property
    def has_halo(self) -> bool:
        """Never: kernels bring the zeros around an image themselves."""
        return False


class Layout(NamedTuple):
    """What `place_values` decided; implements `plan.executable.Layout`.

    images          computed at once
    values          INPUT and every node's by name; a view lies where its source does, and a value that only its float32
                    result holds lies there. Lifetimes count the nodes that run, without views
    macs            of one image, by node
    arena_bytes     of values, images and results, without the workspace, which follows
    images_offset   of the images as they come
    result_offsets  node -> its float32 result, for INPUT and the nodes that are asked for
    pixels          how pixels are normalised, where the images come as such; None: they come normalised
    """

    network: Network
    images: int
    input_shape: Shape
    values: Mapping[str, Value]
    macs: Mapping[str, int]
    arena_bytes: int
    images_offset: int
    result_offsets: Mapping[str, int]
    pixels: Normalisation | None = None

    @property
    def has_input(self) -> bool:
        """Whether INPUT is stored NHWC; else its readers read the images as they come, and its value is those."""
        return self.values[INPUT].offset_bytes != self.images_offset

    @property
    def images_bytes(self) -> int:
        """Of all images as they come."""
        return self.images * image_bytes(self.input_shape, self.pixels)


def image_bytes(shape: Shape, pixels: Normalisation | None) -> int:
    """Of one image (C, H, W) as it comes: a byte a pixel and channel, or a float32."""
    return prod(shape) * (FLOAT_BYTES if pixels is None else 1)
