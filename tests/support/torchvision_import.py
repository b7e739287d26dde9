"""torchvision with a CPU build of torch, where its compiled operators may not load.

`import torchvision` then fails with "operator torchvision::nms does not exist". The models and the transforms need no
such operator; it is sufficient to register their names in torch before torchvision is imported.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import pytest

_OPERATOR_NAME = re.compile(r"""(?:register_meta\(\s*["'](\w+)["']|register_fake\(\s*["']torchvision::(\w+)["'])""")
_keep_alive: list[object] = []  # torch removes the names when their library is collected


@lru_cache
def import_torchvision() -> ModuleType:
    """The torchvision module; skips the test where torch or torchvision is not installed."""
    pytest.importorskip("torch", reason="torch is not installed")
    if importlib.util.find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed")
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
    _forget_half_imported()
    _register_operator_names()
    return importlib.import_module("torchvision")


@lru_cache
def import_timm() -> ModuleType:
    """The timm module, which imports torchvision; skips the test where one of them is not installed."""
    import_torchvision()
    return pytest.importorskip("timm", reason="timm is not installed")


def _forget_half_imported() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]


def _register_operator_names() -> None:
    """Declare every operator in torchvision's own registrations, without implementations."""
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in _operator_names():
        library.define(f"{name}(Tensor unused) -> Tensor")
    _keep_alive.append(library)


def _operator_names() -> list[str]:
    spec = importlib.util.find_spec("torchvision")
    registrations = Path(spec.submodule_search_locations[0]) / "_meta_registrations.py"
    found = _OPERATOR_NAME.findall(registrations.read_text(encoding="utf-8"))
    return sorted({meta or fake for meta, fake in found})
