"""Random weights as torchvision initialises them: a source that creates each tensor when a layer requests it.

Convolutions   normal with standard deviation sqrt(2 / (out_channels * kernel_height * kernel_width))   (He, fan_out);
               in CIFAR nets sqrt(2 / (in_channels * kernel_height * kernel_width))   (He, fan_in)
BatchNorm      weight 1, bias 0, running mean 0, running variance 1
classifier     uniform in +-1/sqrt(in_features)

As in torchvision, untrained running statistics do not normalise: in a deep network in inference mode the values grow
from block to block. `zero_init_residual=True` sets each block's last BatchNorm weight to 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from npresnet.arch.family import assemble
from npresnet.arch.names import KnownOptions, find_arch, option_table, unknown_arch
from npresnet.arch.options import check_options, given_options, is_whole, short
from npresnet.arch.source import COUNTER, Wanted
from npresnet.errors import ArchitectureError
from npresnet.network import Array


class Initialiser:
    """A `Source` of random float32 tensors; `tensors` holds the requested ones in order."""

    is_file = False

    def __init__(self, seed: int):
        self.tensors: dict[str, Array] = {}
        self.norms_fused = False
        self._rng = np.random.default_rng(seed)

    def __contains__(self, name: object) -> bool:
        return False

    def shape_of(self, name: str) -> None:
        """None: every shape is the layer's own."""

    def take(self, wanted: Wanted) -> Array:
        """A new tensor, initialised by `wanted.start`."""
        if wanted.start is None:
            raise ArchitectureError(f"{wanted.name} has no rule of initialisation, so it cannot have random weights")
        kind, scale = wanted.start(wanted.shape)
        array = self._random(kind, np.float32(scale), wanted.shape)
        self.tensors[wanted.name] = array
        return array

    def take_optional(self, wanted: Wanted) -> Array | None:
        """A new tensor where there is a rule for it."""
        return None if wanted.start is None else self.take(wanted)

    def skip(self, name: str) -> None:
        """Adds BatchNorm's counter, which PyTorch's files contain."""
        if name.endswith(COUNTER):
            self.tensors[name] = np.array(0, np.int64)

    def finish(self) -> None:
        """Does nothing: no tensor can be unused."""

    def _random(self, kind: str, scale: np.float32, shape: tuple[int, ...]) -> Array:
        if kind == "constant":
            return np.full(shape, scale)
        if kind == "uniform":
            return (2 * self._rng.random(shape, dtype=np.float32) - 1) * scale
        array = self._rng.standard_normal(shape, dtype=np.float32)
        array *= scale
        return array


def random_tensors(name: str, *, num_classes: int = 1000, seed: int = 0, **options: Any) -> dict[str, Array]:
    """Random weights for an architecture of `list_archs`, float32 under torchvision's names (or CIFAR's, option A).

    num_classes  rows of the classifier
    seed         of the random numbers; the same seed gives the same numbers in the same NumPy
    options      groups, width_per_group, in_channels, zero_init_residual; options that do not affect weights
                 (replace_stride_with_dilation, stride_on, ...) are checked and ignored

    Raises ArchitectureError for unknown names and options, and for groups or widths with BasicBlocks.
    """
    given = given_options(options, KnownOptions())
    if not is_whole(num_classes):
        raise ArchitectureError(f"num_classes must be a whole number from 1 on, got {short(num_classes)}")
    if not is_whole(seed, least=0):
        raise ArchitectureError(f"seed must be a whole number from 0 on, got {short(seed)}")
    family, fixed = find_arch(name)
    if not fixed:  # the name of any network of its family
        raise unknown_arch(name)
    table = option_table(family)
    given = check_options({"num_classes": num_classes, **given}, table, family.NAME)
    for option in given:
        if table[option].role == "topology":
            raise ArchitectureError(f"{name} fixes {option}; leave the option out")
    source = Initialiser(seed)
    try:
        assemble(family, source, {"in_channels": 3, **fixed, **given})
    except ArchitectureError as error:
        raise ArchitectureError(f"{name}: {error}") from None
    return source.tensors
