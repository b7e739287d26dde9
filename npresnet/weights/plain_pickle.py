"""Plain pickles: dicts of arrays as written by Caffe2, Detectron or `pickle.dump`.

- Protocols 0 to 5. Python 2 strings are latin-1.
- NumPy arrays hold their bytes inside the pickle, see numpy_globals.py.
- Tensors pickled without `torch.save` hold their storage as a protocol 1001 file inside the pickle,
  `torch.storage._load_from_bytes(bytes)`; it is read as such, one level deep.
- PaddlePaddle's `.pdparams` are such dicts, or hold (name, array) pairs instead of arrays.
- Bytes after the end of the first pickle are ignored.
"""

from __future__ import annotations

from npresnet.errors import CheckpointError
from npresnet.weights.contents import Contents
from npresnet.weights.pickle_machine import Machine
from npresnet.weights.source import Source, Span
from npresnet.weights.tensor import Storage, Tensor
from npresnet.weights.torch_globals import handlers
from npresnet.weights.torch_legacy import has_magic, read_torch_legacy
from npresnet.weights.unpickle import unpickle

_FILE_STEPS = 500


def read_plain_pickle(source: Source) -> Contents:
    """The object of the pickle at the file's start."""
    tensors: list[Tensor] = []
    budget = source.budget

    def load_from_bytes(raw: object = None, *_: object) -> Storage:
        return _nested_storage(raw, source)

    machine = Machine(
        source.buffer,
        handlers={**handlers(tensors, budget), ("torch.storage", "_load_from_bytes"): load_from_bytes},
        budget=budget,
    )
    root = unpickle(machine)
    for tensor in tensors:
        tensor.check()
    rest = source.size_bytes - machine.position
    return Contents("pickle", root, [f"{rest:,} bytes follow the pickle and were ignored"] if rest else [])


def _nested_storage(raw: object, source: Source) -> Storage:
    if not isinstance(raw, bytes) or not has_magic(raw[:64]):
        raise CheckpointError("its pickle is damaged: a tensor has no storage.")
    source.budget.spend(_FILE_STEPS)
    root = read_torch_legacy(Source(source.path, Span(raw, 0, len(raw)), source.budget)).root
    if not isinstance(root, Storage):
        raise CheckpointError("its pickle is damaged: a tensor has no storage.")
    return root
