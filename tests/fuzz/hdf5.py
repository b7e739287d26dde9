"""HDF5 as Keras writes it, damaged as bytes; its reader is h5py. Few inputs: HDF5 is slow, and no code of ours."""

from __future__ import annotations

import io
import random
from functools import cache

import numpy as np

from tests.fuzz import mutate

oracle = None


def make(rng: random.Random) -> bytes:
    raw = rng.choice(_seeds())
    for _ in range(rng.choice((1, 1, 2, 4))):
        raw = mutate.damaged(raw, rng)
    return raw


@cache
def _seeds() -> list[bytes]:
    import h5py

    found = []
    for options in ({}, {"chunks": (2, 2, 1, 1), "compression": "gzip"}):
        buffer = io.BytesIO()
        with h5py.File(buffer, "w") as file:
            group = file.create_group("model_weights/conv1_conv/conv1_conv")
            group.create_dataset("kernel:0", data=np.arange(24, dtype="f4").reshape(2, 2, 3, 2), **options)
            group.create_dataset("bias:0", data=np.ones(2, "f4"))
            file["layers/conv2d/vars/0"] = np.ones((3, 3, 1, 2), ">f4")
        found.append(buffer.getvalue())
    return found
