"""PyTorch's logits of the smoke check's networks: `python -m tests.smoke.reference` writes reference.json."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

import npresnet
from npresnet.model.finding import DEMO
from tests.smoke.program import inputs
from tests.support.torch_cifar import CifarResNet
from tests.support.torchvision_import import import_torchvision

FILE = Path(__file__).parent / "program" / "reference.json"
PHOTO = DEMO.parent / "chelsea.jpg"


def read() -> dict[str, Any]:
    """What was computed when it was written."""
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def compute() -> dict[str, Any]:
    """What stands in reference.json: of both networks PyTorch's logits, of the demo its file and its pixels."""
    resnet18 = import_torchvision().models.resnet18(weights=None, num_classes=12)
    with npresnet.load("demo") as model:  # its preprocessing is compared with torchvision's elsewhere
        pixels = hashlib.sha256(model.preprocess(PHOTO).tobytes()).hexdigest()
    return {
        "demo": _logits(CifarResNet((3, 3, 3)), npresnet.read_state_dict(DEMO), inputs.images(8, 32)),
        "resnet18": _logits(resnet18, inputs.weights(), inputs.images(8, 96)),
        "demo_sha256": hashlib.sha256(DEMO.read_bytes()).hexdigest(),
        "pixels": pixels,
    }


def _logits(module: torch.nn.Module, weights: dict[str, np.ndarray], x: np.ndarray) -> dict[str, Any]:
    """Logits in float64, and by how much those in float32 differ from them (RMS)."""
    state = {name: torch.from_numpy(np.array(array)) for name, array in weights.items()}
    found = module.load_state_dict(state, strict=False)
    assert not found.unexpected_keys
    assert all(name.endswith("num_batches_tracked") for name in found.missing_keys)
    module.eval()
    with torch.inference_mode():
        single = module(torch.from_numpy(x)).numpy()
        double = module.double()(torch.from_numpy(x).double()).numpy()
    rms = float(np.sqrt(np.mean((single - double) ** 2)))
    return {"float64": double.tolist(), "float32_rms": rms}


if __name__ == "__main__":
    FILE.write_text(json.dumps(compute(), indent=1) + "\n", encoding="utf-8")
