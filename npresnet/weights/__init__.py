"""Weight files: bytes -> {name: array}, and back.

Read in this order: source (mapped bytes), tensor (storages and views), inert, pickle_machine, unpickle (a pickle
interpreter that runs nothing), torch_globals, numpy_globals (what it understands), then one file a format: zip_file,
torch_zip, torch_legacy, torch_tar, plain_pickle, safetensors, npz; sniff (which format), state_dict (wrappers and
prefixes), identity, checkpoint (read), inspection; npz_write; names, download and transfer (torchvision's published
weights).
"""

from __future__ import annotations

from npresnet.weights import download
from npresnet.weights.checkpoint import Checkpoint, read, read_state_dict, sha256
from npresnet.weights.inspection import Inspection, inspect
from npresnet.weights.npz_write import write_npz

__all__ = ["Checkpoint", "Inspection", "download", "inspect", "read", "read_state_dict", "sha256", "write_npz"]
