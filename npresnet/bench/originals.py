"""A named model in the PyTorch code that it comes from: torchvision's, or timm's for all that torchvision lacks.

So that PyTorch is timed by its own users' module rather than by a translation of ours, and an architecture that
npresnet knows only as a file (`npresnet.load`) can be compared too.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from npresnet.bench import torchvision_models

if TYPE_CHECKING:
    import torch

FILE = "original.json"  # {"home": "timm", "name": "resnet50d"}: whose module the peers load


def find(name: str) -> str | None:
    """Whose model of this name is installed: "torchvision", "timm", or None. timm's tags may follow a dot."""
    known = (*torchvision_models.names(), *torchvision_models.video_names())
    if name in known and importlib.util.find_spec("torchvision"):
        return "torchvision"
    if importlib.util.find_spec("timm"):
        try:
            return "timm" if _timm().is_model(name) else None
        except ImportError:  # timm needs torchvision
            return None
    return None


def build(home: str, name: str) -> torch.nn.Module:
    """The model with its own initialisation, in eval mode. Raises ImportError where the library cannot be imported."""
    if home == "torchvision":
        module: torch.nn.Module = torchvision_models.build(name)
    else:
        module = _timm().create_model(name, pretrained=False).eval()
    return module


def randomise(module: torch.nn.Module, examples: torch.Tensor, seed: int) -> torch.nn.Module:
    """The module with random norms that matter, and running statistics near those of the examples: values stay small.

    See `random_weights`, which does the same for the names that npresnet can build.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    norms = [layer for layer in module.modules() if "Norm" in type(layer).__name__]
    with_statistics = [layer for layer in norms if getattr(layer, "running_var", None) is not None]

    def fill(tensor: Any, low: float, high: float) -> None:
        tensor.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)

    with torch.no_grad():
        for layer in norms:
            for role, low, high in (("weight", 0.5, 1.5), ("bias", -0.3, 0.3)):
                if isinstance(getattr(layer, role, None), torch.Tensor):
                    fill(getattr(layer, role), low, high)
        for layer in with_statistics:
            layer.momentum, layer.training = 1.0, True
        module(examples)
        for layer in with_statistics:
            layer.momentum, layer.training = 0.1, False
            layer.running_var *= torch.rand(layer.running_var.shape, generator=generator) * 0.7 + 0.7
    return module


def save(module: torch.nn.Module, name: str, path: Path) -> None:
    """Write the module's tensors, beside the name where npresnet knows it."""
    import torch

    from npresnet import arch

    about = {"arch": name} if name in arch.list_archs() else {}
    torch.save({**about, "state_dict": module.state_dict()}, path)


def note(folder: Path, home: str, name: str) -> None:
    """Record in a model's folder whose module the peers are to load."""
    (folder / FILE).write_text(json.dumps({"home": home, "name": name}))


def load(folder: Path, weights: Path) -> tuple[str, torch.nn.Module] | None:
    """(home, the noted module with these weights), or None where none is noted."""
    import torch

    if not (folder / FILE).exists():
        return None
    noted = json.loads((folder / FILE).read_text())
    module = build(**noted)
    module.load_state_dict(torch.load(weights, weights_only=True)["state_dict"])
    return noted["home"], module


def version(home: str) -> str:
    """The library's."""
    module: Any = importlib.import_module(home)
    return str(module.__version__)


def _timm() -> Any:
    torchvision_models.import_models()  # first: it may need help
    import timm

    return timm
