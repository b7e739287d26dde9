"""Hold the refusals against every architecture of timm and torchvision, by names and shapes alone.

    python tools/refusals.py

One line for each of their modules: what its networks would be called if none could be built, and how many. A row of
`npresnet/arch/homes/foreign.py` may name no network of another family. It takes minutes, and downloads nothing.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from npresnet.arch.selection.refusals import foreign, unknown
from npresnet.arch.selection.select import select
from npresnet.arch.tensors import Tensors
from npresnet.errors import ArchitectureError
from tests.support.torchvision_import import import_timm, import_torchvision


def architectures() -> Iterator[tuple[str, str, Any]]:
    """(module, name, network on the device meta)."""
    import torch

    models, timm = import_torchvision().models, import_timm()
    for name in models.list_models():
        has_backbone = models.get_model_weights(name).__module__.split(".")[2] in ("detection", "segmentation")
        backbone = {"weights_backbone": None} if has_backbone else {}
        with torch.device("meta"):
            yield from _made(lambda n=name, b=backbone: models.get_model(n, weights=None, **b), name)
    for name in timm.list_models():
        with torch.device("meta"):
            yield from _made(lambda n=name: timm.create_model(n), name)


def _made(make: Any, name: str) -> Iterator[tuple[str, str, Any]]:
    try:
        network = make()
    except (NotImplementedError, RuntimeError) as error:  # some initialisers need numbers
        print(f"{name} cannot be made on the device meta: {str(error)[:60]}", file=sys.stderr)
        return
    yield type(network).__module__, name, network


def verdict(tensors: dict[str, np.ndarray]) -> str:
    """What a refusal of these tensors would call the network."""
    try:
        selected, _ = select(Tensors(tensors))
    except ArchitectureError as error:
        return f"ERROR {str(error)[:80]}"
    found = foreign(selected)
    if found is None:
        return unknown(selected).split(": ", 1)[1][:60]
    return re.sub(r"^this looks like (.*?), which is not supported.*", r"\1", found, flags=re.DOTALL)


def main() -> None:
    warnings.simplefilter("ignore")
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for module, _, network in architectures():
        shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
        found[module][verdict({name: np.broadcast_to(np.float32(0), shape) for name, shape in shapes.items()})] += 1
    for module, verdicts in sorted(found.items()):
        print(f"{module:44} {'; '.join(f'{text} ({count})' for text, count in verdicts.most_common())}")


if __name__ == "__main__":
    main()
