"""Fixtures for loading: no network access, and a file with only a small model's tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from npresnet import arch
from npresnet.weights import names as weight_names
from tests.support.small import ARCH


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path_factory):
    """Downloads use an empty cache and a closed port."""
    monkeypatch.setenv("NPRESNET_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path_factory.mktemp("torch")))
    monkeypatch.setenv(weight_names.BASE_URL_VARIABLE, "http://127.0.0.1:9")


@pytest.fixture(scope="module")
def tensors():
    return arch.random_tensors(ARCH, num_classes=10)


@pytest.fixture
def bare(tmp_path, tensors) -> Path:
    """A file without metadata, as written by `numpy.savez`."""
    path = tmp_path / "bare.npz"
    np.savez(path, **tensors)
    return path
