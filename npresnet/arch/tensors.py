"""A file's tensors: inspected by families, taken by layers (as a `Source`), and never ignored silently.

A tensor that no layer reads means that the file contains a different network, so `finish` ends every build.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from itertools import islice, takewhile
from typing import Any

import numpy as np

from npresnet.arch.source import COUNTER, Shape, Wanted
from npresnet.errors import ArchitectureError
from npresnet.network import Array

STATISTIC = r"\.running_(mean|var)$"
NORM = rf"{STATISTIC}|(^|\.)(bn|norm|gn)[0-9]*\.(weight|bias)$"  # a tensor of a norm
_NUMBER_DIGITS = 6
OUTSIDE = "outside."  # before names beside the network that would be taken for its own (see `bodies.translated`)


class Tensors:
    """A file's tensors by name."""

    is_file = True

    def __init__(self, tensors: Mapping[str, Any]):
        self._arrays: dict[str, Array] = {_checked_name(name): np.asanyarray(array) for name, array in tensors.items()}
        self._taken: set[str] = set()
        self._skipped: set[str] = set()

    def __contains__(self, name: object) -> bool:
        return name in self._arrays

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def shape(self, name: str) -> Shape:
        """The shape of an existing tensor, unchecked."""
        return self._arrays[name].shape

    def shape_of(self, name: str) -> Shape | None:
        """The shape of a tensor, None where there is none."""
        return self._arrays[name].shape if name in self._arrays else None

    def length(self, name: str, axis: int, ndim: int) -> int | None:
        """The length of an axis, or None where the tensor is missing or has another number of axes."""
        array = self._arrays.get(name)
        return None if array is None or array.ndim != ndim else array.shape[axis]

    def array(self, name: str) -> Array:
        """The numbers of an existing tensor, unchecked, and not recorded as read."""
        return self._arrays[name]

    def matching(self, pattern: str) -> list[str]:
        """Names that the regular expression matches (by search), in the file's order."""
        found = re.compile(pattern).search
        return [name for name in self._arrays if found(name)]

    def has(self, pattern: str) -> bool:
        """Whether the regular expression matches any name."""
        return any(map(re.compile(pattern).search, self._arrays))

    def numbers_after(self, prefix: str) -> list[int]:
        """The numbers N of all names `<prefix>N.<more>`, sorted: stages after "layer", blocks after "layer1."."""
        names = self._sorted_names
        below = takewhile(lambda name: name.startswith(prefix), islice(names, bisect_left(names, prefix), None))
        parts = (name[len(prefix) : len(prefix) + _NUMBER_DIGITS + 1].partition(".") for name in below)
        return sorted({int(number) for number, dot, _ in parts if dot and _is_number(number)})

    @cached_property
    def _sorted_names(self) -> list[str]:
        """Names of one prefix stand together, so that looking below each stage takes one pass over the names in all."""
        return sorted(self._arrays)

    def peek(self, name: str, axes: tuple[str, ...]) -> Array:
        """The tensor, if it is floating point and has these axes, none of them empty."""
        if name not in self._arrays:
            raise ArchitectureError(self._missing(name))
        array = self._arrays[name]
        _check_floats(name, array)
        if array.ndim != len(axes) or 0 in array.shape:
            raise ArchitectureError(
                f"{name} has shape {array.shape}, but should have the axes ({', '.join(axes)}), none of them empty. "
                f"Is it another layer's tensor, or a flattened one?"
            )
        return array

    def take(self, wanted: Wanted) -> Array:
        """The tensor, if it is floating point and has the full expected shape; recorded as read."""
        name, shape, axes, _, why = wanted
        array = self._arrays.get(name)
        if array is None:
            raise ArchitectureError(f"{self._missing(name)}\n  expected {shape}   {', '.join(axes)}\n{why()}")
        _check_floats(name, array)
        if array.shape != shape:
            raise ArchitectureError(
                f"{name} has shape {array.shape}, expected {shape}\n  axes    {', '.join(axes)}\n{why()}"
            )
        self._taken.add(name)
        return array

    def take_optional(self, wanted: Wanted) -> Array | None:
        """As `take`, or None where the file has no such tensor."""
        return self.take(wanted) if wanted.name in self._arrays else None

    def skip(self, name: str) -> None:
        """Mark a tensor of any shape as not needed for inference; the file may lack it."""
        self._skipped.add(name)

    @cached_property
    def norms_fused(self) -> bool:
        """Whether convolutions have taken their BatchNorms up: they have biases, and no norm has a tensor."""
        return "layer1.0.conv1.bias" in self._arrays and not self.has(NORM)

    def without(self, names: Iterable[str]) -> Tensors:
        """The tensors without these."""
        dropped = set(names)
        if not dropped:
            return self
        return Tensors({name: array for name, array in self._arrays.items() if name not in dropped})

    def ordered(self, last: Iterable[str]) -> Tensors:
        """The tensors with these at the end, in this order."""
        names = dict.fromkeys(last)
        first = {name: array for name, array in self._arrays.items() if name not in names}
        return Tensors({**first, **{name: self._arrays[name] for name in names}})

    def renamed(self, rename: Callable[[str], str]) -> Tensors:
        """The tensors under other names."""
        old_names: dict[str, str] = {}
        for name in self._arrays:
            other = old_names.setdefault(rename(name), name)
            if other != name:
                raise ArchitectureError(
                    f"some tensors are twice in the file: {_clip(other)} and {_clip(name)} are the same tensor of "
                    f"the network. Save the state_dict of one network only"
                )
        return Tensors({new: self._arrays[old] for new, old in old_names.items()})

    def finish(self) -> None:
        """Raise ArchitectureError where no layer has read a tensor."""
        read = self._taken | self._skipped
        left = [name for name in self._arrays if name not in read and not name.endswith(COUNTER)]
        if left:
            shown = (f"{name.removeprefix(OUTSIDE)} {self.shape(name)}" for name in left)
            raise ArchitectureError(
                f"the file has tensors that none of the network's layers reads: "
                f"{shorten(shown)}. So the file contains another network, "
                f"unknown to npresnet; if these tensors do not matter, save the state_dict without them"
            )

    def non_finite(self) -> list[str]:
        """Vectors (biases and BatchNorm's parameters) with NaN or infinity, which diverged training leaves there."""
        vectors = (name for name in sorted(self._taken) if self._arrays[name].ndim == 1)
        return [name for name in vectors if not np.isfinite(self._arrays[name]).all()]

    def _missing(self, name: str) -> str:
        why = "Was the file saved in part?"
        if re.search(STATISTIC, name) and not self.has(STATISTIC):
            why = "The file has no running statistics at all: save `state_dict()`, not `named_parameters()`"
        return f"{name} is missing{self._nearby(name)}. {why}"

    def _nearby(self, name: str) -> str:
        parent = name.rpartition(".")[0]
        siblings = [other for other in self._arrays if other.startswith(parent + ".")]
        if not siblings and parent.count(".") > 1:  # a block's module: perhaps it has another name
            block = ".".join(parent.split(".")[:2]) + "."
            inside = (other[len(block) :] for other in self._arrays if other.startswith(block))
            siblings = list(dict.fromkeys(f"{block}{other.partition('.')[0]}" for other in inside))
        return f", though {shorten(siblings, 6)} {'are' if len(siblings) > 1 else 'is'} there" if siblings else ""


def _check_floats(name: str, array: Array) -> None:
    if array.dtype.kind != "f":
        raise ArchitectureError(
            f"{name} holds {array.dtype} numbers, but weights are floating point. A quantised network is not "
            f"supported: export the float weights it was made from"
        )


def agreed(lengths: Iterable[int | None]) -> int:
    """The most frequent length, so that an error names the tensor that differs; the first of equals, 0 for none.

    Several tensors of a file determine a layer's width (a convolution's filters, the vectors of its norm).
    """
    known = [length for length in lengths if length is not None]
    if len(set(known)) == 1:
        return known[0]
    return Counter(known).most_common(1)[0][0] if known else 0


def common_module(names: Iterable[str]) -> str:
    """The module in which all stand, with its dot; "" where there is none."""
    first, *others = (name.split(".")[:-1] for name in names)
    same = takewhile(lambda i: all(other[i : i + 1] == [first[i]] for other in others), range(len(first)))
    return "".join(f"{first[i]}." for i in same)


def shorten(items: Iterable[str], limit: int = 8) -> str:
    """At most `limit` items, and the number of further ones."""
    names = list(items)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(_clip(name) for name in names[:limit]) + more


def _clip(name: str, limit: int = 120) -> str:
    name = name if name.isprintable() else ascii(name)[1:-1]  # untrusted text: no newlines, no escape codes
    return name if len(name) <= limit else name[: limit - 1] + "…"


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _NUMBER_DIGITS


def _checked_name(name: object) -> str:
    if not isinstance(name, str):
        raise ArchitectureError(f"tensors must have names such as conv1.weight, got {_clip(repr(name))}")
    return name
