"""Random images for tests of the CPU backend."""

import numpy as np

SHAPE = (3, 40, 52)


def pictures(count: int, shape=SHAPE) -> np.ndarray:
    return np.random.default_rng(count).standard_normal((count, *shape), dtype=np.float32)
