"""HDF5 as Keras writes it, damaged as bytes; its reader is h5py.

Inputs are judged without the trial reading, whose process takes longer than all else. What then costs too much is no
failure if the trial refuses it.
"""

from __future__ import annotations

import io
import os
import random
import tempfile
from functools import cache

import numpy as np

from npresnet import weights
from npresnet.errors import CheckpointError
from npresnet.weights import hdf5_trial
from tests.fuzz import mutate

oracle = None


def make(rng: random.Random) -> bytes:
    raw = rng.choice(_seeds())
    for _ in range(rng.choice((1, 1, 2, 4))):
        raw = mutate.damaged(raw, rng)
    return raw


def begin() -> None:
    """In the process that judges inputs."""
    hdf5_trial.try_reading = lambda source, span: None


def is_excused(raw: bytes) -> bool:
    """Whether the whole reader, trial included, refuses an input."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "w.h5")
        with open(path, "wb") as file:
            file.write(raw)
        try:
            weights.read(path)
        except CheckpointError:
            return True
    return False


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
