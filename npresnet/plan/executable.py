"""Executable: the one face of both backends, for whoever runs, times, draws or explains a compiled network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from npresnet.network import Network
from npresnet.plan.lifetimes import Lifetime
from npresnet.plan.shapes import Shape
from npresnet.plan.steps import Step


class Placed(Protocol):
    """A value's place in an arena, on any backend.

    shape         of one image, (C, H, W) or (C,)
    lifetime      from the node that makes it to its last reader
    offset_bytes  from the arena's start
    size_bytes    of all images, with whatever surrounds them
    has_halo      zeros around the image are part of it
    """

    @property
    def shape(self) -> Shape: ...
    @property
    def lifetime(self) -> Lifetime: ...
    @property
    def offset_bytes(self) -> int: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def has_halo(self) -> bool: ...


class Layout(Protocol):
    """Where every value of a compiled network lies, for the images that are computed at once.

    network      as it runs, after the backend's passes
    values       INPUT and every node's value by name: shape of one image, lifetime, place, bytes
    macs         multiply-adds of one image, by node
    arena_bytes  what all values take together
    """

    @property
    def network(self) -> Network: ...
    @property
    def values(self) -> Mapping[str, Placed]: ...
    @property
    def macs(self) -> Mapping[str, int]: ...
    @property
    def arena_bytes(self) -> int: ...


class Stopwatch(Protocol):
    """Times the steps of a compiled network, each in its place in the whole.

    steps   as `Executable.steps` gives them
    images  of one run of each step: a network that is cut in two runs its front image by image
    """

    @property
    def steps(self) -> Sequence[Step]: ...
    @property
    def images(self) -> Sequence[int]: ...

    def lap(self) -> list[float]:
        """One pass over all images: milliseconds of each step, of all of its runs together."""


class Executable(Protocol):
    """A compiled network. `cpu.compile` and `cuda.compile` make it; see their docstrings for what they raise."""

    @property
    def network(self) -> Network:
        """The network as it runs, after the backend's passes."""

    def __call__(self, images: Any) -> dict[str, Any]:
        """Images (N, C, H, W) -> {asked name: (N, ...) float32}."""

    def as_array(self, x: Any) -> Any:
        """What a call takes of x."""

    def steps(self, input_shape: Shape, images: int = 1) -> Sequence[Step]:
        """What is run for `images` images of (C, H, W), bound to memory, to print: nothing is run."""

    def layout(self, input_shape: Shape, images: int = 1) -> Layout:
        """Where the values of `images` images of (C, H, W) lie. Raises ShapeError where they do not fit."""

    def stopwatch(self, images: Any) -> Stopwatch:
        """A stopwatch that runs these images (N, C, H, W) step by step."""

    def keeping_all(self) -> Executable:
        """The same network on the same device with the result of every step among its outputs, by the step's name."""

    def close(self) -> None:
        """Give up memory; calls still running end well, later ones raise DeviceError."""
