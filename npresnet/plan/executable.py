"""Executable: the common interface of both backends, for running, timing and inspecting a compiled network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from npresnet.network import Network
from npresnet.plan.lifetimes import Lifetime
from npresnet.plan.shapes import Shape
from npresnet.plan.steps import Step


class Placed(Protocol):
    """A value's position in an arena, on any backend.

    shape         of one image, (C, H, W) or (C,)
    lifetime      from the node that computes it to its last reader
    offset_bytes  from the arena's start
    size_bytes    of all images, including halos
    has_halo      whether zeros around the image are included
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
    """The memory layout of a compiled network, for the images that are computed together.

    network      after the backend's passes
    values       INPUT and every node's value by name: shape of one image, lifetime, offset, size
    macs         multiply-adds of one image, by node
    arena_bytes  memory of all values
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
    """Times the steps of a compiled network as part of a whole run.

    steps   as returned by `Executable.steps`
    images  number of images per run of each step; a divided network computes its first part image by image
    """

    @property
    def steps(self) -> Sequence[Step]: ...
    @property
    def images(self) -> Sequence[int]: ...

    def lap(self) -> list[float]:
        """Run all images once; returns the total milliseconds of each step."""


class Executable(Protocol):
    """A compiled network, created by `cpu.compile` and `cuda.compile`; see these for the errors."""

    @property
    def network(self) -> Network:
        """The network after the passes that any program runs; `layout(...).network` is what runs for given images."""

    def __call__(self, images: Any) -> dict[str, Any]:
        """Images (N, C, H, W) -> {output name: (N, ...) float32}."""

    def as_array(self, x: Any) -> Any:
        """Convert x to the array type that a call accepts."""

    def steps(self, input_shape: Shape, images: int = 1) -> Sequence[Step]:
        """The steps for `images` images of (C, H, W), bound to memory, for inspection; nothing is run."""

    def layout(self, input_shape: Shape, images: int = 1) -> Layout:
        """The memory layout for `images` images of (C, H, W); on the CPU that of one, the unit of work there.

        Raises ShapeError if they do not fit the network, or for less than one.
        """

    def stopwatch(self, images: Any) -> Stopwatch:
        """A stopwatch that runs these images (N, C, H, W) step by step."""

    def keeping_all(self) -> Executable:
        """The same network on the same device with every step's value as an additional output of the step's name."""

    def close(self) -> None:
        """Free memory; running calls complete, later ones raise DeviceError."""
