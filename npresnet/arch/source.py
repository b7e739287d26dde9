"""What a layer asks for, one tensor at a time, and who answers: a source of tensors.

A file's tensors are one source (`tensors.Tensors`), random weights are another (`initialiser.Initialiser`). A family's
`build` does not know which of them it asks, so each topology is written once.
"""

# No `from __future__ import annotations`: a NamedTuple would compile annotations that are strings, which slows a start.

import math
from collections.abc import Callable
from typing import Literal, NamedTuple, Protocol

from npresnet.network import Array

CONV_AXES = ("out_channels", "in_channels/groups", "kernel_height", "kernel_width")
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

    name   as it stands in the file
    shape  the whole shape that the layer expects
    axes   what each axis is called, for errors
    start  how random weights are initialised; None where a network with random weights has no such tensor
    why    gives lines for errors: where the expected shape comes from, the rule, the way out
    """

    name: str
    shape: Shape
    axes: tuple[str, ...]
    start: Start | None
    why: Callable[[], str]


class Source(Protocol):
    """Gives tensors by name and whole shape. Each raises ArchitectureError where it has none that fits."""

    def __contains__(self, name: object, /) -> bool:
        """Whether the source holds a tensor of that name by itself; random weights hold none until they are asked."""

    def take(self, wanted: Wanted) -> Array:
        """A tensor of that name and shape."""

    def take_optional(self, wanted: Wanted) -> Array | None:
        """The same, or None where the source has no such tensor."""

    def skip(self, name: str) -> None:
        """A tensor that belongs to the network and that inference does not need."""

    def finish(self) -> None:
        """The network is complete. Raises ArchitectureError where tensors of a file were not asked for."""
