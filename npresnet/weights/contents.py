"""Contents: what a format's reader returns, before the state dict is located."""

from __future__ import annotations

from typing import Any


class Contents:
    """The object stored in a container.

    container  "torch zip", "torch legacy", "torch tar", "safetensors", "npz", "pickle", "arrays"
    root       dicts, lists, plain values, inert placeholders, and Tensors that refer to their bytes
    notes      notes of the container's reader
    metadata   npresnet's metadata (npz) or safetensors' strings; otherwise {}
    """

    def __init__(
        self, container: str, root: object, notes: list[str] | None = None, metadata: dict[str, Any] | None = None
    ):
        self.container = container
        self.root = root
        self.notes = [] if notes is None else notes
        self.metadata = {} if metadata is None else metadata
