"""HDF5 as Keras writes it: `.h5`, `.weights.h5`, and the `model.weights.h5` inside `.keras`. Read by h5py.

    <layer>/<layer>/kernel:0, model_weights/<layer>/...   Keras 1 and 2, and .h5 of Keras 3     <layer>.kernel
    layers/<class>_<number>/vars/<place>                  Keras 3; the layer's name is an
                                                          attribute of `vars`, or stands in
                                                          `.keras`'s config.json               <layer>.<role>

- Datasets that lie in one piece are mapped, others are copied, at most 256 MiB plus 16 times the file's size in all.
- Only hard links are followed; datasets in other files, virtual ones and unusual filters, which could load a plugin,
  are refused. Groups are visited once, to a depth of 16, 200,000 objects at most.
- An optimizer's variables are left out.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from typing import Any

from npresnet.errors import CheckpointError
from npresnet.weights.contents import Contents
from npresnet.weights.source import Source, Span, shown
from npresnet.weights.tensor import Storage, Tensor, dense, numpy_dtype

_MAX_DEPTH = 16
_MAX_OBJECTS = 200_000
_COPIED_BYTES = 256 << 20
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
    h5py = _h5py()
    contents = Contents("h5" if span is None else "keras", {})
    where = source.span if span is None else span
    tensors: dict[str, Tensor] = {}
    file: Any = source.path if span is None else io.BytesIO(span.read())
    try:
        with h5py.File(file, "r") as root:
            copied = _Copied(_COPIED_BYTES + 16 * where.size_bytes)
            for path, dataset in _datasets(h5py, root, contents.notes):
                name = _name(path, dataset, names or {})
                if name in tensors:
                    raise CheckpointError(f"it holds two variables called {shown(name)}; save one network alone.")
                tensor = _tensor(name, dataset, where, copied, mapped=root.userblock_size == 0)
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


def _h5py() -> Any:
    try:
        import h5py
    except ImportError:
        raise CheckpointError(
            "this is an HDF5 file (Keras), which needs the package h5py: pip install 'npresnet[keras]'"
        ) from None
    return h5py


class _Copied:
    """Counts the bytes that are copied."""

    def __init__(self, room_bytes: int):
        self.room_bytes = room_bytes

    def add(self, size_bytes: int) -> None:
        self.room_bytes -= size_bytes
        if self.room_bytes < 0:
            raise CheckpointError("its datasets take far more memory than the file has bytes; damaged or hostile.")


def _datasets(h5py: Any, root: Any, notes: list[str]) -> Iterator[tuple[str, Any]]:
    """(path, dataset) of all that hard links lead to, each once, outer ones first."""
    seen = {h5py.h5o.get_info(root.id).addr}
    level = [("", root)]
    for depth in range(_MAX_DEPTH):
        below = []
        for path, group in level:
            for key in group:
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
                if len(seen) > _MAX_OBJECTS:
                    raise CheckpointError(f"it holds more than {_MAX_OBJECTS:,} objects.")
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


def _tensor(name: str, dataset: Any, where: Span, copied: _Copied, *, mapped: bool) -> Tensor | None:
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
        copied.add(dataset.nbytes)
        raw = dataset[()].tobytes()
        span = Span(raw, 0, len(raw))
    else:
        span = Span(where.buffer, where.start + offset, dataset.nbytes)
        if span.stop > where.stop:
            raise CheckpointError(f"{shown(name)} ends behind the end of the file, which is truncated.")
    storage = Storage(name, dtype, dataset.size, big_endian, lambda: span)
    tensor = dense(storage, dataset.shape)
    tensor.check()
    return tensor
