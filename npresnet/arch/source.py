"""Source: the interface from which layers request their tensors, one at a time.

A file's tensors are one source (`tensors.Tensors`), random weights are another (`initialiser.Initialiser`). A family's
`build` is independent of the source, so each topology is written once.
"""

# No `from __future__ import annotations`: a NamedTuple would compile annotations that are strings, which slows a start.

import math
from collections.abc import Callable
from typing import Literal, NamedTuple, Protocol

from npresnet.network import Array

CONV_AXES = ("out_channels", "in_channels/groups", "kernel_height", "kernel_width")
CONV3D_AXES = (*CONV_AXES[:2], "kernel_time", *CONV_AXES[2:])
LINEAR_AXES = ("out_features", "in_features")
CHANNEL_AXES = ("channels",)
FEATURE_AXES = ("out_features",)

COUNTER = "num_batches_tracked"  # BatchNorm's count of training steps

Shape = tuple[int, ...]


class Init(NamedTuple):
    """Random numbers: normal with standard deviation `scale`, uniform in +-scale, or `scale` everywhere."""

    kind: Literal["normal", "uniform", "constant"]
    scale: float


Start = Callable[[Shape], Init]  # how a tensor of that shape is initialised


def he_fan_out(shape: Shape) -> Init:
    """Normal, standard deviation sqrt(2 / (out_channels * KH * KW)), for a weight (O, C/G, KH, KW).

    He et al., Delving Deep into Rectifiers, section 2.2, in the backward form that torchvision's ResNets use.
    """
    return Init("normal", math.sqrt(2 / (shape[0] * math.prod(shape[2:]))))


def he_fan_in(shape: Shape) -> Init:
    """Normal, standard deviation sqrt(2 / (in_channels/groups * KH * KW)), for a weight (O, C/G, KH, KW)."""
    return Init("normal", math.sqrt(2 / math.prod(shape[1:])))


def uniform_fan_in(in_features: int) -> Start:
    """Uniform in +-1/sqrt(in_features), PyTorch's default for both tensors of a linear layer."""
    return lambda shape: Init("uniform", 1 / math.sqrt(in_features))


def zeros(shape: Shape) -> Init:
    return Init("constant", 0.0)


def ones(shape: Shape) -> Init:
    return Init("constant", 1.0)


class Wanted(NamedTuple):
    """One tensor that a layer needs.

    name   in the file
    shape  the full shape that the layer expects
    axes   the name of each axis, for errors
    start  how random weights are initialised; None where a network with random weights has no such tensor
    why    returns lines for errors: the origin of the expected shape, the rule, the remedy
    """

    name: str
    shape: Shape
    axes: tuple[str, ...]
    start: Start | None
    why: Callable[[], str]


class Source(Protocol):
    """Provides tensors by name and full shape. Raises ArchitectureError where it has no matching tensor."""

    is_file: bool  # whether it has tensors of its own; random weights are made as they are asked for

    @property
    def norms_fused(self) -> bool:
        """Whether the convolutions have taken up their BatchNorms, so that there are no tensors of norms."""

    def __contains__(self, name: object, /) -> bool:
        """Whether the source contains a tensor of that name; random weights contain none beforehand."""

    def shape_of(self, name: str) -> Shape | None:
        """The shape of an existing tensor, unchecked; None where there is none."""

    def take(self, wanted: Wanted) -> Array:
        """A tensor of that name and shape."""

    def take_optional(self, wanted: Wanted) -> Array | None:
        """The same, or None where the source has no such tensor."""

    def skip(self, name: str) -> None:
        """Mark a tensor that belongs to the network but is not needed for inference."""

    def finish(self) -> None:
        """End of the network. Raises ArchitectureError where tensors of a file were not requested."""
