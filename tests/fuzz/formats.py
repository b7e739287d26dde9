"""The fuzzers by name. Each is a module with `make(rng) -> bytes`, and `oracle(path)`, or None where none reads safely.

An oracle is the format's own reader. Where it accepts a file and npresnet as well, both must read the same numbers.
"""

from __future__ import annotations

from types import ModuleType

from tests.fuzz import hdf5, mxnet, npz, pickles, safetensors, torch_legacy, torch_tar, torch_zip

FORMATS: dict[str, ModuleType] = {
    "torch zip": torch_zip,
    "torch legacy": torch_legacy,
    "torch tar": torch_tar,
    "pickle": pickles,
    "safetensors": safetensors,
    "npz": npz,
    "mxnet": mxnet,
    "hdf5": hdf5,
}
