"""`.keras`: a zip archive with config.json, metadata.json and model.weights.h5. See hdf5.py for the last.

In files of the first releases of Keras 3 variables stand under the class of their layer and a number, `conv2d_3`, and
only config.json, which has the layers in the same order, tells its name.
"""

from __future__ import annotations

import re
from typing import Any

from npresnet.errors import CheckpointError
from npresnet.weights.contents import Contents
from npresnet.weights.hdf5 import read_hdf5
from npresnet.weights.safetensors import parse_json
from npresnet.weights.source import Source
from npresnet.weights.zip_file import ZipFile

WEIGHTS = "model.weights.h5"
_CONFIG = "config.json"
_MAX_CONFIG_BYTES = 16 << 20
_MAX_DEPTH = 8


def read_keras(source: Source, archive: ZipFile) -> Contents:
    """The variables of the model by their layers' names."""
    names: dict[str, str] = {}
    if _CONFIG in archive.members:
        if archive.members[_CONFIG].size_bytes > _MAX_CONFIG_BYTES:
            raise CheckpointError(f"its {_CONFIG} is larger than {_MAX_CONFIG_BYTES >> 20} MiB.")
        settings = parse_json(archive.checked(_CONFIG), f"its {_CONFIG}", source.budget)
        _collect(settings.get("config"), "layers/", names, _MAX_DEPTH)
    return read_hdf5(source, archive.checked(WEIGHTS), names)  # damage is found by the checksum, before HDF5 meets it


def _collect(config: Any, path: str, names: dict[str, str], depth: int) -> None:
    """Add {"layers/conv2d_3": "conv2_block1_1_conv"} for all layers, those of models among them as well."""
    layers = config.get("layers") if isinstance(config, dict) else None
    used: dict[str, int] = {}
    for layer in layers if isinstance(layers, list) and depth else ():
        if not isinstance(layer, dict) or not isinstance(layer.get("class_name"), str):
            continue
        kind = _snake_case(layer["class_name"][:100])
        number = used.get(kind, 0)
        used[kind] = number + 1
        inner = layer.get("config")
        name = inner.get("name") if isinstance(inner, dict) else None
        key = f"{path}{kind}_{number}" if number else path + kind
        if isinstance(name, str) and 0 < len(name) <= 200:
            names[key] = name
        _collect(inner, f"{key}/layers/", names, depth - 1)


def _snake_case(name: str) -> str:
    """Keras's rule: Conv2D is conv2d, BatchNormalization batch_normalization."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
