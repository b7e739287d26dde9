"""HDF5 as Keras writes it: `.h5`, `.weights.h5`, and the `model.weights.h5` inside `.keras`. Read by h5py.

    <layer>/<layer>/kernel:0, model_weights/<layer>/...   Keras 1 and 2, and .h5 of Keras 3     <layer>.kernel
    layers/<class>_<number>/vars/<place>                  Keras 3; the layer's name is an
                                                          attribute of `vars`, or stands in
                                                          `.keras`'s config.json               <layer>.<role>

- Datasets that lie in one piece are mapped, others are copied; copies are charged to the file's Budget, as are objects
  and links, each of which the HDF5 library takes long to look up.
- Only hard links are followed; datasets in other files, virtual ones and unusual filters, which could load a plugin,
  are refused. Groups are visited once, to a depth of 16.
- An optimizer's variables are left out.
- What keeps the library busy, or makes it ask for memory, is found by a trial in another process, see `hdf5_trial`.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from npresnet.errors import CheckpointError
from npresnet.system.extras import needing
from npresnet.weights.budget import Budget
from npresnet.weights.contents import Contents
from npresnet.weights.source import Source, Span, shown
from npresnet.weights.tensor import Storage, Tensor, dense, numpy_dtype

_MAX_DEPTH = 16
_LINK_STEPS, _OBJECT_STEPS, _CHUNK_STEPS = 100, 400, 10
_FILTERS = (1, 2, 3)  # deflate, shuffle, checksum: in every build of HDF5
_OPTIMIZERS = ("optimizer", "optimizer_weights", "_optimizer")
_BATCH_NORM = ("gamma", "beta", "moving_mean", "moving_variance")
_ROLES = {"conv2d": ("kernel", "bias"), "dense": ("kernel", "bias"), "batch_normalization": _BATCH_NORM}

Names = Mapping[str, str]  # the path of a layer -> its name


def read_hdf5(source: Source, span: Span | None = None, names: Names | None = None) -> Contents:
    """All numeric datasets by name.

    span   where the HDF5 file lies in the source; None for all of it
    names  of layers whose variables do not say it

    Raises CheckpointError without h5py, and for damaged files.
    """
    from npresnet.weights.hdf5_trial import try_reading

    h5py = opened_h5py()
    was_tried = try_reading(source, span)
    contents = read_variables(h5py, source, span, names)
    if not was_tried:
        contents.notes.append("no process could be started for a trial reading, so this file was trusted")
    return contents


def read_variables(h5py: Any, source: Source, span: Span | None, names: Names | None) -> Contents:
    """`read_hdf5` without a trial."""
    contents = Contents("h5" if span is None else "keras", {})
    where = source.span if span is None else span
    tensors: dict[str, Tensor] = {}
    if span is not None:
        source.budget.make(span.size_bytes)
    file: Any = source.path if span is None and not source.in_memory else io.BytesIO(where.read())
    try:
        with h5py.File(file, "r") as root:
            for path, dataset in _datasets(h5py, root, contents.notes, source.budget):
                name = _name(path, dataset, names or {})
                if name in tensors:
                    raise CheckpointError(f"it holds two variables called {shown(name)}; save one network alone.")
                tensor = _tensor(name, dataset, where, source.budget, mapped=root.userblock_size == 0)
                if tensor is None:
                    contents.notes.append(f"dataset {shown(path)} holds no numbers and was left out")
                else:
                    tensors[name] = tensor
    except (OSError, RuntimeError, KeyError, ValueError, OverflowError) as error:  # how h5py reports damage
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"this HDF5 file is truncated or damaged ({shown(error)}).") from None
    contents.root = tensors
    return contents


def opened_h5py() -> Any:
    """The library. Raises CheckpointError where it is not installed."""
    with needing("an HDF5 file (Keras)", "npresnet[keras]", kind=CheckpointError):
        import h5py
    return h5py


def _datasets(h5py: Any, root: Any, notes: list[str], budget: Budget) -> Iterator[tuple[str, Any]]:
    """(path, dataset) of all that hard links lead to, each once, outer ones first."""
    seen = {h5py.h5o.get_info(root.id).addr}
    level = [("", root)]
    for depth in range(_MAX_DEPTH):
        below = []
        for path, group in level:
            for key in group:
                budget.spend(_LINK_STEPS)
                if not depth and key in _OPTIMIZERS:
                    continue
                link = group.get(key, getlink=True)
                if not isinstance(link, h5py.HardLink):
                    notes.append(f"{shown(path + key)} is a link to elsewhere and was left out")
                    continue
                found = group[key]
                address = h5py.h5o.get_info(found.id).addr
                if address in seen:
                    continue
                seen.add(address)
                budget.spend(_OBJECT_STEPS)
                if isinstance(found, h5py.Dataset):
                    yield path + key, found
                elif isinstance(found, h5py.Group):
                    below.append((f"{path}{key}/", found))
        level = below


def _name(path: str, dataset: Any, names: Names) -> str:
    """<layer>.<role>: the last two parts of a path, or what a layer's variables say about themselves."""
    parts = path.split("/")
    if len(parts) < 3 or parts[-2] != "vars":
        return ".".join(part for part in (*parts[-2:-1], re.sub(r":[0-9]+$", "", parts[-1])))
    layer = names.get("/".join(parts[:-2])) or _told(dataset) or parts[-3]
    roles = _ROLES.get(re.sub(r"_[0-9]+$", "", parts[-3]), ())
    place = int(parts[-1]) if parts[-1].isdecimal() and len(parts[-1]) < 4 else len(roles)
    return f"{layer.rpartition('/')[2]}.{roles[place] if place < len(roles) else parts[-1]}"


def _told(dataset: Any) -> str | None:
    """The name of a layer that the group of its variables says; asked only where nothing else tells it.

    A damaged attribute can keep the HDF5 library busy for ever.
    """
    told = dataset.parent.attrs.get("name")
    return told if isinstance(told, str) and 0 < len(told) <= 200 else None


def _tensor(name: str, dataset: Any, where: Span, budget: Budget, *, mapped: bool) -> Tensor | None:
    """The dataset; None if its numbers are none that NumPy has."""
    known = numpy_dtype(dataset.dtype.str) if dataset.dtype.kind in "fiub" else None
    if known is None or dataset.shape is None:
        return None
    if dataset.external or dataset.is_virtual:
        raise CheckpointError(f"{shown(name)} lies in another file, which is not followed.")
    created = dataset.id.get_create_plist()
    filters = [created.get_filter(i)[0] for i in range(created.get_nfilters())]
    if not set(filters) <= set(_FILTERS):
        raise CheckpointError(f"{shown(name)} is stored by the HDF5 filters {filters}, which are not supported.")
    dtype, big_endian = known
    offset = dataset.id.get_offset() if mapped and not filters else None
    if offset is None:
        _charge(dataset, budget)
        raw = dataset[()].tobytes()
        span = Span(raw, 0, len(raw))
    else:
        span = Span(where.buffer, where.start + offset, dataset.nbytes)
        if span.stop > where.stop:
            raise CheckpointError(f"{shown(name)} ends behind the end of the file, which is truncated.")
    storage = Storage(name, dtype, dataset.size, big_endian, lambda: span, budget=budget)
    tensor = dense(storage, dataset.shape)
    tensor.check()
    return tensor


def _charge(dataset: Any, budget: Budget) -> None:
    """Charge a copy of a dataset: its bytes, read and copied again, and the chunks that HDF5 looks up one by one."""
    budget.make(2 * dataset.nbytes)
    if dataset.chunks:
        budget.make(math.prod(dataset.chunks) * dataset.dtype.itemsize)  # a chunk may be larger than its dataset
        counts = (-(-length // chunk) for length, chunk in zip(dataset.shape, dataset.chunks, strict=True))
        budget.spend(_CHUNK_STEPS * math.prod(counts))
