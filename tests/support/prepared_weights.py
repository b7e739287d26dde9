"""Three small layers whose prepacked weights are kept in a folder, and read from it."""

from __future__ import annotations

import numpy as np

from npresnet.cpu.compiler import prepared
from npresnet.cpu.compiler.prepared import Store, Wanted, checksum_of_all
from npresnet.cpu.kernels.filters import Filters, Key
from npresnet.system.stamp import Identity
from tests.cpu.kernels.test_filters import conv

WEIGHTS = Identity("weights.npz", "inode 7")


def wanted(seed: int = 0) -> list[Wanted]:
    """Three layers, none of which is prepacked yet."""
    shapes = {"a": (64, 64, 3, 1), "b": (100, 7, 1, 1), "c": (256, 256, 3, 1)}
    filters = {name: Filters(conv(*shape, seed=seed)) for name, shape in shapes.items()}
    return [
        Wanted("a", filters["a"], Key(4, "panels")),
        Wanted("b", filters["b"], Key(0, "gemm")),
        Wanted("c", filters["c"], Key(2, "gemm")),
    ]


def keep(store: Store, ones: list[Wanted]) -> None:
    """Prepack and write them."""
    store.keep(ones, checksum_of_all(ones))


def kept(folder, seed: int = 0):
    """Write one file into the folder: its path, and the arrays in it."""
    ones = wanted(seed)
    arrays = [one.filters.prepacked(one.key) for one in ones]
    keep(Store(folder, WEIGHTS), ones)
    (path,) = folder.glob("*.prepared")
    return path, arrays


def same_file_other_weights() -> list[Wanted]:
    """As `wanted`, but for one number that is none of the samples in the file's head."""
    ones = wanted()
    weight = np.array(ones[0].filters.weight)
    weight[33, 21, 1, 2] += 1
    ones[0].filters.weight = weight
    assert prepared.checksum(ones[0].filters) == prepared.checksum(wanted()[0].filters)
    return ones
