"""An existing client of the protocol, as it comes from the package index, against a server in another process."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tritonclient import http
from tritonclient.http import aio
from tritonclient.utils import InferenceServerException

from npresnet.system.text import visible
from tests.serve.conftest import LABELS, jpeg

MODEL = "small_net"


@pytest.fixture(scope="module")
def client(server):
    with http.InferenceServerClient(server.address) as client:
        yield client


def tensor(x: np.ndarray, *, binary: bool = True):
    found = http.InferInput("input", x.shape, "FP32")
    found.set_data_from_numpy(x, binary_data=binary)
    return found


def test_health_and_metadata(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(MODEL)
    assert client.is_model_ready(MODEL, "1")
    assert not client.is_model_ready(MODEL, "2")
    assert not client.is_model_ready("another")
    assert client.get_server_metadata()["name"] == "npresnet"
    metadata = client.get_model_metadata(MODEL)
    assert [(one["name"], one["datatype"], one["shape"]) for one in metadata["inputs"]] == [
        ("input", "FP32", [-1, 3, 36, 44]),
        ("image", "BYTES", [-1]),
    ]
    assert [(one["name"], one["datatype"], one["shape"]) for one in metadata["outputs"]] == [
        ("logits", "FP32", [-1, 6]),
        ("probabilities", "FP32", [-1, 6]),
        ("label", "BYTES", [-1]),
    ]
    config = client.get_model_config(MODEL, "1")
    assert [one["dims"] for one in config["input"]] == [[3, 36, 44], [1]]
    assert config["max_batch_size"] == 64


@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
@pytest.mark.parametrize("binary", [True, False])
def test_tensors(client, model, binary, compression):
    x = np.concatenate([model.preprocess(jpeg(seed)) for seed in range(3)])
    outputs = [
        http.InferRequestedOutput("logits", binary_data=binary),
        http.InferRequestedOutput("probabilities", binary_data=not binary),
        http.InferRequestedOutput("label", binary_data=binary),
    ]
    found = client.infer(
        MODEL,
        [tensor(x, binary=binary)],
        model_version="1",
        outputs=outputs,
        request_id="the id",
        request_compression_algorithm=compression,
        response_compression_algorithm=compression,
    )
    wanted = [model.predict(jpeg(seed)) for seed in range(3)]
    np.testing.assert_array_equal(found.as_numpy("logits"), np.stack([one.logits for one in wanted]))
    np.testing.assert_array_equal(found.as_numpy("probabilities"), np.stack([one.probabilities for one in wanted]))
    labels = [one if isinstance(one, str) else one.decode() for one in found.as_numpy("label")]
    assert labels == [visible(one.label) for one in wanted]
    assert found.get_response()["id"] == "the id"


def test_classification(client, model):
    output = http.InferRequestedOutput("probabilities", class_count=2)
    found = client.infer(MODEL, [tensor(model.preprocess(jpeg(4)))], outputs=[output]).as_numpy("probabilities")
    best = model.predict(jpeg(4)).top[:2]
    assert found.tolist() == [[f"{one.score:f}:{one.index}:{visible(LABELS[one.index])}".encode() for one in best]]


@pytest.mark.parametrize("shape", [[2], [2, 1]])
def test_encoded_pictures(client, model, shape):
    pictures = http.InferInput("image", shape, "BYTES")
    pictures.set_data_from_numpy(np.array([jpeg(5), jpeg(6, 200, 90, "PNG")], np.object_).reshape(shape))
    found = client.infer(MODEL, [pictures])
    wanted = [model.predict(image) for image in (jpeg(5), jpeg(6, 200, 90, "PNG"))]
    np.testing.assert_array_equal(found.as_numpy("logits"), np.stack([one.logits for one in wanted]))
    assert [label.decode() for label in found.as_numpy("label")] == [visible(one.label) for one in wanted]


def test_errors(client, model):
    x = tensor(model.preprocess(jpeg(1)))
    with pytest.raises(InferenceServerException, match="unknown model 'another'") as raised:
        client.infer("another", [x])
    assert raised.value.status() == "404"
    with pytest.raises(InferenceServerException, match="unknown output 'classes'") as raised:
        client.infer(MODEL, [x], outputs=[http.InferRequestedOutput("classes")])
    assert raised.value.status() == "400"
    with pytest.raises(InferenceServerException, match=r"must have the shape \[-1, 3, 36, 44\]"):
        client.infer(MODEL, [tensor(np.zeros((1, 3, 44, 36), np.float32))])
    assert client.infer(MODEL, [x]).as_numpy("logits").shape == (1, 6)


def test_concurrent_tensors(server, model):
    """Eight clients at once with distinct images: each gets its own, bit for bit as alone."""

    def ask(seed: int):
        with http.InferenceServerClient(server.address) as client:
            return client.infer(MODEL, [tensor(model.preprocess(jpeg(seed)))]).as_numpy("logits")

    with ThreadPoolExecutor(8) as clients:
        found = list(clients.map(ask, range(24)))
    wanted = [model.predict(jpeg(seed)).logits for seed in range(24)]
    np.testing.assert_array_equal(np.concatenate(found), np.stack(wanted))


def test_asynchronous_clients(client, server, model):
    x = tensor(model.preprocess(jpeg(1)))
    wanted = model.predict(jpeg(1)).logits
    np.testing.assert_array_equal(client.async_infer(MODEL, [x]).get_result().as_numpy("logits")[0], wanted)

    async def ask():
        async with aio.InferenceServerClient(server.address) as other:
            return (await other.infer(MODEL, [x])).as_numpy("logits")

    np.testing.assert_array_equal(asyncio.run(ask())[0], wanted)
