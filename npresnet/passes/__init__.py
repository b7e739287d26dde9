"""Network -> Network: the same function computed with fewer operations. Read `fold_batch_norm`, then `fuse`."""

from __future__ import annotations

from npresnet.network import Network
from npresnet.passes.fold_batch_norm import fold_batch_norm
from npresnet.passes.fuse import fuse

__all__ = ["fold_batch_norm", "fuse", "optimize"]


def optimize(network: Network) -> Network:
    """Every pass in its order: 175 nodes of a ResNet-50 become 57."""
    return fuse(fold_batch_norm(network))
