"""torchvision's classifiers, also with a torch build for which torchvision's compiled operators do not load.

Such a pair fails on import with "operator torchvision::nms does not exist", although no classifier uses that operator.
Registering the names that torchvision looks up makes the import succeed.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

_library: Any = None  # torch.library forgets its registrations when this is collected


def names() -> list[str]:
    """torchvision's ResNets."""
    return [f"resnet{depth}" for depth in (18, 34, 50, 101, 152)] + [
        "resnext50_32x4d",
        "resnext101_32x8d",
        "resnext101_64x4d",
        "wide_resnet50_2",
        "wide_resnet101_2",
    ]


def video_names() -> list[str]:
    """torchvision's ResNets for clips."""
    return ["r3d_18", "mc3_18", "r2plus1d_18"]


def build(name: str, **options: Any) -> Any:
    """torchvision.models.<name>(**options), or models.video.<name>, in eval mode.

    Raises ImportError where torchvision cannot be imported.
    """
    models = import_models()
    home = models.video if name in video_names() else models
    return getattr(home, name)(weights=None, **options).eval()


def import_models() -> Any:
    """The module torchvision.models."""
    try:
        import torchvision.models
    except RuntimeError as problem:
        if "torchvision::" not in str(problem):
            raise
        _forget_torchvision()
        register_operators(operator_names())
        import torchvision.models
    return torchvision.models


def operator_names() -> list[str]:
    """The operators whose shapes torchvision registers on import, read from its source without importing it."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        raise ImportError("torchvision is not installed")
    source = (Path(spec.origin).parent / "_meta_registrations.py").read_text(encoding="utf-8")
    return sorted(set(re.findall(r'(?:register_meta\("|"torchvision::)(\w+)"', source)))


def register_operators(operators: list[str]) -> None:
    """Declare these torchvision operators in torch, without implementations."""
    global _library
    import torch

    _library = torch.library.Library("torchvision", "FRAGMENT")
    for name in operators:
        _library.define(f"{name}(Tensor unused) -> Tensor")


def _forget_torchvision() -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
