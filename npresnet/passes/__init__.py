"""Network -> Network: the same function computed with fewer operations. Read `fold_batch_norm`, then `fuse`.

`fuse_max_pool` is for the backends that want it.
"""

from __future__ import annotations

from npresnet.network import Network
from npresnet.passes.fold_batch_norm import fold_batch_norm
from npresnet.passes.fuse import fuse
from npresnet.passes.fuse_max_pool import fuse_max_pool

__all__ = ["fold_batch_norm", "fuse", "fuse_max_pool", "optimize"]


def optimize(network: Network) -> Network:
    """Both passes in their order: 175 nodes of a ResNet-50 become 57."""
    return fuse(fold_batch_norm(network))
