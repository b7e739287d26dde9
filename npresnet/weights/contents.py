"""Contents: what a container holds, as its reader hands it on; no state dict has been looked for yet."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Contents:
    """A container's object.

    container  "torch zip", "torch legacy", "torch tar", "safetensors", "npz", "pickle"
    root       dicts, lists, plain values, inert stand-ins, and Tensors that know where their bytes are
    notes      what the reader of the container wants said
    metadata   npresnet's own (npz), or safetensors' texts; otherwise {}
    """

    container: str
    root: object
    notes: list[str] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
