"""ResNet inference with NumPy: `npresnet.load("resnet18.npz").predict("dog.jpg")`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from npresnet.errors import (
    AmbiguityWarning,
    ArchitectureError,
    CheckpointError,
    DeviceError,
    ImageError,
    NpresnetError,
    ShapeError,
)

if TYPE_CHECKING:
    from npresnet.arch import list_archs
    from npresnet.config import Config, Decision
    from npresnet.images import Preprocess
    from npresnet.model import labels
    from npresnet.model.converting import convert
    from npresnet.model.evaluation import Evaluation
    from npresnet.model.loading import build, load
    from npresnet.model.model import Model
    from npresnet.model.prediction import Candidate, Prediction
    from npresnet.model.preparing import prepare
    from npresnet.weights import read_state_dict

__version__ = "0.1.0"

__all__ = [
    "AmbiguityWarning",
    "ArchitectureError",
    "Candidate",
    "CheckpointError",
    "Config",
    "Decision",
    "DeviceError",
    "Evaluation",
    "ImageError",
    "Model",
    "NpresnetError",
    "Prediction",
    "Preprocess",
    "ShapeError",
    "__version__",
    "build",
    "convert",
    "labels",
    "list_archs",
    "load",
    "prepare",
    "read_state_dict",
]

_HOME = {  # name -> module, imported on first access to keep `import npresnet` fast
    "Candidate": "model.prediction",
    "Config": "config",
    "Decision": "config",
    "Evaluation": "model.evaluation",
    "Model": "model.model",
    "Prediction": "model.prediction",
    "Preprocess": "images",
    "build": "model.loading",
    "convert": "model.converting",
    "list_archs": "arch",
    "load": "model.loading",
    "prepare": "model.preparing",
    "read_state_dict": "weights",
}


def __getattr__(name: str) -> Any:
    if name == "labels":  # a module: `labels.read` reads label files without a model
        value = import_module(f"{__name__}.model.labels")
    elif name in _HOME:
        value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
