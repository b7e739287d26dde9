"""Inspection: the contents of any weight file, ResNet or not, without reading the tensors' data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from npresnet.errors import CheckpointError
from npresnet.weights.checkpoint import facts_of, notes
from npresnet.weights.holders import name_of
from npresnet.weights.inert import as_mapping, describe
from npresnet.weights.opening import open_weights, parsing
from npresnet.weights.source import Path, path_text, shown
from npresnet.weights.state_dict import StateDict, find_state_dict
from npresnet.weights.tensor import Tensor, Unreadable

_MAX_ROWS = 10_000
_TENSOR_STEPS = 20


@dataclass(frozen=True)
class TensorInfo:
    """A tensor's name, shape and dtype as stored; dtype is a description ("a sparse tensor") if it is not supported."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    size_bytes: int


@dataclass(frozen=True)
class Inspection:
    """A weight file's container, wrapping and tensors; str() is the output of `npresnet inspect`.

    others  {name: one-line description} of the entries beside the state dict
    facts   what they, or a configuration beside the file, say about the network, see facts.py
    """

    path: str
    size_bytes: int
    container: str
    wrapper: str | None
    prefix: str
    tensors: list[TensorInfo]
    others: dict[str, str]
    metadata: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def parameters(self) -> int:
        """Number of elements in all tensors, including BatchNorm statistics and counters."""
        return sum(_product(tensor.shape) for tensor in self.tensors)

    def __str__(self) -> str:
        return "\n".join([*self._head(), *self._tensor_rows(), *self._other_rows()])

    def _head(self) -> Iterator[str]:
        stored_bytes = sum(tensor.size_bytes for tensor in self.tensors)
        yield f"file       {shown(self.path, 300)} ({self.size_bytes:,} bytes)"
        yield f"container  {self.container}"
        yield f"wrapper    {shown(self.wrapper) if self.wrapper is not None else 'none'}"
        yield f"prefix     {shown(self.prefix) or 'none'}"
        yield f"tensors    {len(self.tensors):,} with {self.parameters:,} numbers, {stored_bytes:,} bytes"

    def _tensor_rows(self) -> Iterator[str]:
        rows = [(shown(t.name), shown(t.shape), t.dtype) for t in self.tensors[:_MAX_ROWS]]
        widths = [max((len(row[column]) for row in rows), default=0) for column in range(2)]
        for name, shape, dtype in rows:
            yield f"  {name:<{widths[0]}}  {shape:<{widths[1]}}  {dtype}"
        if len(self.tensors) > _MAX_ROWS:
            yield f"  ... and {len(self.tensors) - _MAX_ROWS:,} more"

    def _other_rows(self) -> Iterator[str]:
        said = {"other entries": self.others, "metadata": self.metadata, "facts about the network": self.facts}
        for title, rows in said.items():
            if rows:
                yield title
            for name, value in list(rows.items())[:_MAX_ROWS]:
                yield f"  {shown(name)}: {shown(value)}"
        for note in self.notes:
            yield f"note       {note}"


def inspect(path: Path, key: str | None = None) -> Inspection:
    """List the contents of a weight file without reading the tensors' data, except to compare rival state dicts.

    path, key  as for `read`

    Raises CheckpointError if the file cannot be read. A file without a state dict, or with several, is listed, too.
    """
    with parsing(path):
        sources, contents = opened = open_weights(path)
        found, problem = _found(contents.root, key)
        sources[0].budget.spend(_TENSOR_STEPS * len(found.tensors))
        tensors = [_info(name, tensor) for name, tensor in found.tensors.items()]
        others = {name: describe(value) for name, value in found.others.items()}
        facts, remarks = facts_of(opened, found)
        lines = [*notes(contents, found), *remarks, *problem]
    return Inspection(
        path_text(path), sum(source.size_bytes for source in sources), contents.container, found.wrapper, found.prefix,
        tensors, others, contents.metadata, facts, lines,
    )  # fmt: skip


def _found(root: object, key: str | None) -> tuple[StateDict, list[str]]:
    """The state dict; if there is none, the top-level entries and the reason."""
    try:
        return find_state_dict(root, key), []
    except CheckpointError as error:
        top = as_mapping(root) or {"(the object)": root}
        return StateDict({}, others={shown(name_of(name)): value for name, value in top.items()}), [str(error)]


def _info(name: str, tensor: Tensor | Unreadable) -> TensorInfo:
    if isinstance(tensor, Unreadable):
        return TensorInfo(name, (), tensor.kind, 0)
    return TensorInfo(name, tensor.shape, tensor.dtype, tensor.size_bytes)


def _product(shape: tuple[int, ...]) -> int:
    import math

    return math.prod(shape)
