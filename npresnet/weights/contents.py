"""Contents: what a format's reader returns, before the state dict is located."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Contents:
    """The object stored in a container.

    container  "torch zip", "torch legacy", "torch tar", "safetensors", "npz", "pickle"
    root       dicts, lists, plain values, inert placeholders, and Tensors that refer to their bytes
    notes      notes of the container's reader
    metadata   npresnet's metadata (npz) or safetensors' strings; otherwise {}
    """

    container: str
    root: object
    notes: list[str] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
