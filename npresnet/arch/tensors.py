"""The checkpoint's tensors on their way into a network: checked when a layer takes them, and none left over unseen.

A tensor that no layer reads means that the file holds another network than the one being built, so `refuse_leftovers`
ends every build.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from npresnet.errors import ArchitectureError
from npresnet.network import Array

CONV_AXES = ("out_channels", "in_channels/groups", "kernel_height", "kernel_width")
LINEAR_AXES = ("out_features", "in_features")
CHANNEL_AXES = ("channels",)
COUNTER = "num_batches_tracked"  # BatchNorm's count of training steps; inference has no use for it


class Tensors:
    """Tensors by name. `peek` looks, `take` hands out and remembers; both check dtype and number of axes."""

    def __init__(self, tensors: Mapping[str, Any]):
        self._arrays = {_checked_name(name): np.asanyarray(array) for name, array in tensors.items()}
        self._taken: set[str] = set()

    def __contains__(self, name: object) -> bool:
        return name in self._arrays

    def __iter__(self):
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor that is there, unchecked."""
        return self._arrays[name].shape

    def matching(self, pattern: str) -> list[str]:
        """Names that the regular expression finds, in the file's order."""
        found = re.compile(pattern).search
        return [name for name in self._arrays if found(name)]

    def numbers_after(self, prefix: str) -> list[int]:
        """The numbers N of all names `<prefix>N.<more>`, sorted: stages after "layer", blocks after "layer1."."""
        rests = (name[len(prefix) :] for name in self._arrays if name.startswith(prefix))
        numbers = {number for number, dot, _ in (rest.partition(".") for rest in rests) if dot and _is_number(number)}
        return sorted(set(map(int, numbers)))

    def peek(self, name: str, axes: tuple[str, ...]) -> Array:
        """The tensor, if it holds floating-point numbers and has these axes, all of them at least 1 long."""
        if name not in self._arrays:
            raise ArchitectureError(f"{name} is missing{self._nearby(name)}. Was the file saved in part?")
        array = self._arrays[name]
        if array.dtype.kind != "f":
            raise ArchitectureError(
                f"{name} holds {array.dtype} numbers, but weights are floating point. A quantised network is not "
                f"supported: export the float weights it was made from"
            )
        if array.ndim != len(axes) or 0 in array.shape:
            raise ArchitectureError(
                f"{name} has shape {array.shape}, but should have the axes ({', '.join(axes)}), none of them empty. "
                f"Is it another layer's tensor, or a flattened one?"
            )
        return array

    def take(self, name: str, axes: tuple[str, ...]) -> Array:
        """As `peek`, and remember that a layer reads this tensor."""
        array = self.peek(name, axes)
        self._taken.add(name)
        return array

    def without(self, names: Iterable[str]) -> Tensors:
        """The tensors but these."""
        dropped = set(names)
        return Tensors({name: array for name, array in self._arrays.items() if name not in dropped})

    def without_prefix(self, prefix: str) -> Tensors:
        """The tensors with `prefix` taken off the names that bear it."""
        short = {name.removeprefix(prefix): array for name, array in self._arrays.items()}
        if len(short) < len(self._arrays):
            raise ArchitectureError(f"some tensors stand twice in the file, with and without the prefix {prefix}")
        return Tensors(short)

    def refuse_leftovers(self) -> None:
        """Raise ArchitectureError where a tensor was read by no layer."""
        left = [name for name in self._arrays if name not in self._taken and not name.endswith(COUNTER)]
        if left:
            raise ArchitectureError(
                f"the network would leave out tensors of the file that none of its layers reads: "
                f"{shorten(f'{name} {self.shape(name)}' for name in left)}. So the file holds another network, which "
                f"npresnet does not know; if these tensors do not matter, save the state_dict without them"
            )

    def non_finite(self) -> list[str]:
        """Vectors (biases and BatchNorm's parameters) with a NaN or an infinity; a diverged training shows there."""
        return [
            name
            for name in sorted(self._taken)
            if self._arrays[name].ndim == 1 and not np.isfinite(self._arrays[name]).all()
        ]

    def _nearby(self, name: str) -> str:
        parent = name.rpartition(".")[0]
        siblings = [other for other in self._arrays if other.startswith(parent + ".")]
        return f", though {shorten(siblings, 4)} {'are' if len(siblings) > 1 else 'is'} there" if siblings else ""


def shorten(items: Iterable[str], limit: int = 8) -> str:
    """At most `limit` items, and how many more there are."""
    names = list(items)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(_clip(name) for name in names[:limit]) + more


def _clip(name: str, limit: int = 120) -> str:
    name = name if name.isprintable() else ascii(name)[1:-1]  # files are others' words: no line ends, no escape codes
    return name if len(name) <= limit else name[: limit - 1] + "…"


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 6


def _checked_name(name: object) -> str:
    if not isinstance(name, str):
        raise ArchitectureError(f"tensors go by names such as conv1.weight, but one is called {_clip(repr(name))}")
    return name
