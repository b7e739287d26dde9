"""Weight files: bytes -> {name: array}, and back.

Reading order: budget (what a file may cost), source (mapped bytes), memory (bytes and file objects), tensor (storages
and views), arrays ({name: array}), inert, pickle_machine, unpickle (a pickle interpreter that executes no foreign
code), torch_globals, numpy_globals (the globals it handles), one file per format: zip_file, torch_zip, torch_legacy,
torch_tar, plain_pickle, safetensors, npz; sniff (format detection), shards (folders and files that belong together);
holders, custom, rivals, keys, state_dict (which dict of tensors, and prefixes); facts, class_names, beside (what a file
and configurations beside it say); opening (whichever of these it is), checkpoint (read), inspection, verification;
npz_write; names, download and transfer (torchvision's published weights).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from npresnet.weights.checkpoint import Checkpoint, read, read_state_dict, sha256
from npresnet.weights.memory import Readable, is_in_memory, path_of
from npresnet.weights.source import Span

if TYPE_CHECKING:
    from npresnet.weights import download
    from npresnet.weights.inspection import Inspection, inspect
    from npresnet.weights.npz_write import write_npz
    from npresnet.weights.shards import find_in_folder
    from npresnet.weights.verification import verify

__all__ = [
    "Checkpoint",
    "Inspection",
    "Readable",
    "Span",
    "download",
    "find_in_folder",
    "inspect",
    "is_in_memory",
    "path_of",
    "read",
    "read_state_dict",
    "sha256",
    "verify",
    "write_npz",
]

_HOME = {  # not needed to load a file
    "Inspection": "inspection",
    "find_in_folder": "shards",
    "inspect": "inspection",
    "verify": "verification",
    "write_npz": "npz_write",
}


def __getattr__(name: str) -> Any:
    if name == "download":
        return import_module(f"{__name__}.download")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    return value
