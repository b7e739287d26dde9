"""Weight files: bytes -> {name: array}, and back.

Reading order: source (mapped bytes), tensor (storages and views), inert, pickle_machine, unpickle (a pickle
interpreter that executes no foreign code), torch_globals, numpy_globals (the globals it handles), one file per format:
zip_file, torch_zip, torch_legacy, torch_tar, plain_pickle, safetensors, npz; sniff (format detection), state_dict
(wrappers and prefixes), checkpoint (read), inspection; npz_write; names, download and transfer (torchvision's
published weights).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from npresnet.weights.checkpoint import Checkpoint, read, read_state_dict, sha256

if TYPE_CHECKING:
    from npresnet.weights import download
    from npresnet.weights.inspection import Inspection, inspect
    from npresnet.weights.npz_write import write_npz

__all__ = ["Checkpoint", "Inspection", "download", "inspect", "read", "read_state_dict", "sha256", "write_npz"]

_HOME = {"Inspection": "inspection", "inspect": "inspection", "write_npz": "npz_write"}  # not needed by `load`


def __getattr__(name: str) -> Any:
    if name == "download":
        return import_module(f"{__name__}.download")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    return value
