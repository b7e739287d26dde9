"""A small model with labels of every kind, its application in this process, and one server in another."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

import npresnet
from npresnet.serve import app
from tests.support import browser as browsers
from tests.support.served import Served, served

LABELS = ["plain", "<script>document.title='broken'</script>", "größer, 犬", 'quote"s', "a\x1b[31mred", "z" * 90]


def jpeg(seed: int, width: int = 61, height: int = 47, kind: str = "JPEG") -> bytes:
    """Coarse colours, so that images of different seeds have different logits."""
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 7, 3), dtype=np.uint8)
    data = io.BytesIO()
    Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC).save(data, kind)
    return data.getvalue()


@pytest.fixture(scope="session")
def weights(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("served") / "small net.npz"
    how = {"resize": 40, "crop": [36, 44], "mean": [0.5] * 3, "std": [40.0] * 3}  # random weights: scores far from 1
    model = npresnet.build("cifar_resnet20", num_classes=6, labels=LABELS, preprocess=how, seed=3, threads=1)
    model.save(path)
    return str(path)


@pytest.fixture(scope="session")
def model(weights) -> npresnet.Model:
    return npresnet.load(weights, threads=1)


@pytest.fixture(scope="module")
def client(model) -> Iterator[TestClient]:
    with TestClient(app(model, name="small"), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="session")
def server(weights) -> Iterator[Served]:
    with served("--model", weights, "--threads", "1") as started:
        yield started


@pytest.fixture(scope="session")
def browser(tmp_path_factory) -> Iterator[browsers.Browser]:
    started = browsers.start(tmp_path_factory.mktemp("profile"))
    yield started
    started.close()
