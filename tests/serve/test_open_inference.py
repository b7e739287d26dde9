"""The Open Inference Protocol: what a request may say, and what is refused with 400 and words."""

from __future__ import annotations

import base64
import json
import struct
from itertools import count

import numpy as np
import pytest
from starlette.testclient import TestClient

import npresnet
from npresnet.serve import app
from npresnet.system.text import visible
from tests.serve.conftest import LABELS, jpeg

INFER = "/v2/models/small/infer"
SHAPE = [1, 3, 36, 44]
SIZE = 3 * 36 * 44


def floats(**changed):
    return {"name": "input", "shape": SHAPE, "datatype": "FP32", "data": [0.0] * SIZE, **changed}


def pictures(*images: bytes, **changed):
    data = [base64.b64encode(image).decode() for image in images]
    return {"name": "image", "shape": [len(images)], "datatype": "BYTES", "data": data, **changed}


def post(client, content, binary: bytes = b"", **headers):
    head = json.dumps(content).encode()
    if binary:
        headers.setdefault("inference_header_content_length", str(len(head)))
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(INFER, content=head + binary, headers=named)


def output(found, name: str):
    (entry,) = [entry for entry in found.json()["outputs"] if entry["name"] == name]
    return np.array(entry["data"]).reshape(entry["shape"])


@pytest.mark.parametrize("nested", [False, True])
def test_numbers_in_json(client, model, nested):
    x = np.concatenate([model.preprocess(jpeg(seed)) for seed in (1, 2)])
    data = (x if nested else x.ravel()).tolist()
    found = post(client, {"id": "an id", "inputs": [floats(shape=[2, *SHAPE[1:]], data=data)]})
    assert found.status_code == 200, found.text
    assert {key: found.json()[key] for key in ("id", "model_name", "model_version")} == {
        "id": "an id",
        "model_name": "small",
        "model_version": "1",
    }
    np.testing.assert_array_equal(output(found, "logits").astype(np.float32), model(x))
    wanted = [model.predict(jpeg(seed)) for seed in (1, 2)]
    np.testing.assert_array_equal(
        output(found, "probabilities").astype(np.float32), np.stack([one.probabilities for one in wanted])
    )
    assert output(found, "label").tolist() == [visible(one.label) for one in wanted]


def test_pictures_in_json(client, model):
    found = post(client, {"inputs": [pictures(jpeg(1), jpeg(2), shape=[2, 1])], "outputs": [{"name": "logits"}]})
    assert [entry["name"] for entry in found.json()["outputs"]] == ["logits"]
    x = np.concatenate([model.preprocess(jpeg(seed)) for seed in (1, 2)])
    np.testing.assert_array_equal(output(found, "logits").astype(np.float32), model(x))


def test_classification(client, model):
    wanted = [{"name": "logits", "parameters": {"classification": 2}}]
    found = post(client, {"inputs": [pictures(jpeg(1))], "outputs": wanted})
    logits = model(model.preprocess(jpeg(1)))[0]
    best = np.argsort(-logits)[:2]
    assert output(found, "logits").tolist() == [[f"{logits[i]:f}:{i}:{visible(LABELS[i])}" for i in best]]


def test_binary_answer(client, model):
    wanted = [{"name": "logits", "parameters": {"binary_data": True}}, {"name": "label"}]
    found = post(client, {"inputs": [pictures(jpeg(1))], "outputs": wanted})
    size = int(found.headers["inference-header-content-length"])
    head = json.loads(found.content[:size])
    assert head["outputs"][0] == {
        "name": "logits",
        "datatype": "FP32",
        "shape": [1, 6],
        "parameters": {"binary_data_size": 24},
    }
    assert head["outputs"][1]["data"] == [visible(model.predict(jpeg(1)).label)]
    np.testing.assert_array_equal(np.frombuffer(found.content[size:], "<f4"), model(model.preprocess(jpeg(1)))[0])


BINARY = {"parameters": {"binary_data_size": 4 * SIZE}}


def without_data(entry):
    return {key: value for key, value in entry.items() if key != "data"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([], "must be a JSON object, got list"),
        ({}, "a list of one tensor"),
        ({"inputs": {}}, "a list of one tensor"),
        ({"inputs": [floats(), pictures(b"")]}, "a list of one tensor"),
        ({"inputs": [[]]}, "a list of one tensor"),
        ({"inputs": [floats(name="x")]}, "unknown input 'x'"),
        ({"inputs": [floats(name=["input"])]}, "unknown input"),
        ({"inputs": [floats(datatype="FP64")]}, "must be FP32, got 'FP64'"),
        ({"inputs": [pictures(jpeg(1), datatype="UINT8")]}, "must be BYTES"),
        *(
            ({"inputs": [floats(shape=shape)]}, "must have the shape [-1, 3, 36, 44]")
            for shape in (
                None, [], [3, 36, 44], [0, 3, 36, 44], [-1, 3, 36, 44], [-1, -3, 36, 44], [1, 3, 44, 36], {"0": 1},
                [1.0, 3, 36, 44], [True, 3, 36, 44], [1, 3, 36, 44, 1], [2**62, 3, 2**62, 44], [1, 3, "36", 44],
            )
        ),
        ({"inputs": [floats(shape=[2**62, *SHAPE[1:]])]}, "64 images"),
        ({"inputs": [floats(shape=[10**4000, *SHAPE[1:]])]}, "64 images"),
        ({"inputs": [floats(shape=[2, *SHAPE[1:]])]}, "has the shape [2, 3, 36, 44] and data of the shape"),
        ({"inputs": [floats(data=[[0.0] * SIZE])]}, "data of 4752 values, nested in another way"),
        ({"inputs": [floats(data=[[0]] * 65 * SIZE)]}, "data of 308880 values, nested in another way"),
        ({"inputs": [floats(data=[[0.0] * 44] * 36 * 3)]}, "nested in another way"),
        ({"inputs": [floats(data=[[[[0.0] * 36] * 44] * 3])]}, "nested in another way"),
        ({"inputs": [floats(data=[0.0] * (SIZE - 1))]}, "data of the shape [4751]"),
        ({"inputs": [floats(data=[])]}, "data of the shape [0]"),
        ({"inputs": [floats(data=[[[[]]]])]}, "data of 0 values, nested in another way"),
        ({"inputs": [floats(data="numbers 0")], "more": {"data": [0.0] * SIZE}}, "has no data"),
        ({"inputs": [floats(name={"data": [1.5, 2]})]}, "unknown input {'data': [1.5, 2]}"),
        ({"inputs": [floats(shape={"data": [0.25] * SIZE})]}, "got {'data': [0.25, 0.25, "),
        ({"inputs": [floats(data=[0.0] * (SIZE - 1) + ["a"])]}, "must be numbers"),
        ({"inputs": [floats(data=[0.0] * (SIZE - 1) + [{}])]}, "must be numbers"),
        ({"inputs": [floats(data=[0.0] * (SIZE - 1) + [[1.0, 2.0]])]}, "data of 4753 values, nested in another way"),
        ({"inputs": [floats(data=[0.0] * (SIZE - 1) + [float("nan")])]}, "JSON has no NaN"),
        ({"inputs": [floats(data=[0.0] * (SIZE - 1) + [None])]}, "must be numbers"),
        ({"inputs": [floats(data=[[]] * 4 * SIZE)]}, "nested in another way"),
        ({"inputs": [pictures(b"", parameters={"more": [[]] * SIZE})]}, "more values than the 1128 that"),
        ({"inputs": [floats(data=["1.5"] * SIZE)]}, "must be numbers"),
        ({"inputs": [floats(data=[0.0] * (SIZE - 1) + ["1"])]}, "must be numbers"),
        ({"inputs": [floats(data=[0.0] * (SIZE - 1) + [True])]}, "must be numbers"),
        ({"inputs": [floats(data=[[[["1"] * 44] * 36] * 3])]}, "must be numbers"),
        ({"inputs": [floats(data=[0.0] * (SIZE - 1) + [1e300])]}, "beyond FP32"),
        ({"inputs": [floats(data=[0.0] * (SIZE - 1) + [10**400])]}, "numbers"),
        ({"inputs": [floats(data="0")]}, "has no data"),
        ({"inputs": [without_data(floats())]}, "has no data"),
        ({"inputs": [floats(parameters=[])]}, "parameters must be an object"),
        ({"inputs": [floats(parameters={"binary_data_size": SIZE})]}, "says binary_data_size"),
        ({"inputs": [pictures(shape=[0])]}, "at least one image"),
        ({"inputs": [pictures(shape=[-1])]}, "at least one image"),
        ({"inputs": [pictures(b"", shape=[1, 2])]}, "at least one image"),
        ({"inputs": [pictures(b"", shape=[2])]}, "has the shape [2] and 1 pictures"),
        ({"inputs": [pictures(b"", data=[])]}, "has the shape [1] and 0 pictures"),
        ({"inputs": [pictures(b"", data=["?"])]}, "base64"),
        ({"inputs": [pictures(b"", data=[1])]}, "texts in base64"),
        ({"inputs": [pictures(b"", data=["", None])]}, "base64, got NoneType"),
        ({"inputs": [pictures(b"nothing")]}, "not an image"),
        ({"inputs": [pictures(jpeg(1), b"nothing", jpeg(2))]}, "not an image"),
        ({"inputs": [floats(parameters={"shared_memory_region": "x"})]}, "shared memory is not supported"),
        ({"inputs": [floats()], "outputs": [{"name": "logits", "parameters": {"shared_memory_region": "x"}}]},
         "shared memory is not supported"),
        ({"inputs": [floats()], "id": 3}, "id must be text"),
        ({"inputs": [floats()], "id": "x" * 257}, "id must be text"),
        ({"inputs": [floats()], "id": "a\ud800"}, "unpaired surrogates"),
        ({"inputs": [floats()], "parameters": 1}, "parameters must be an object"),
        ({"inputs": [floats()], "outputs": {"name": "logits"}}, "outputs must be a list"),
        ({"inputs": [floats()], "outputs": [{"name": "x"}]}, "unknown output 'x'; expected one of logits"),
        ({"inputs": [floats()], "outputs": [{"name": "logits"}] * 2}, "asked for twice"),
        ({"inputs": [floats()], "outputs": [{"name": "label", "parameters": {"classification": 1}}]}, "of scores"),
        ({"inputs": [floats()], "outputs": [{"name": "logits", "parameters": {"classification": -1}}]}, "a count"),
        ({"inputs": [floats()], "outputs": [{"name": "logits", "parameters": {"classification": 1.5}}]}, "a count"),
    ],
    ids=map(str, count()),
)  # fmt: skip
def test_refused(client, content, words):
    found = post(client, content)
    assert found.status_code == 400, found.text
    assert found.json().keys() == {"error"}
    assert words in found.json()["error"]
    assert len(found.json()["error"]) < 1000


def bytes_tensor(*images: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(image)) + image for image in images)


def binary(entry, size: int):
    return {"inputs": [{**without_data(entry), "parameters": {"binary_data_size": size}}]}


@pytest.mark.parametrize(
    ("content", "data", "header", "words"),
    [
        (binary(floats(), 4 * SIZE), b"\0" * (4 * SIZE - 1), None, "and 19007 bytes follow"),
        (binary(floats(), 4), b"\0" * 4, None, "needs 19008 bytes, got 4"),
        (binary(floats(), -1), b"\0" * 4, None, "says binary_data_size -1"),
        (binary(floats(), True), b"\0", None, "says binary_data_size True"),
        ({"inputs": [floats()]}, b"\0" * 4, None, "4 bytes follow the JSON"),
        ({"inputs": [floats(**BINARY)]}, b"\0" * (4 * SIZE), None, "has both"),
        (binary(floats(), 4 * SIZE), b"\0" * (4 * SIZE), "-1", "Inference-Header-Content-Length is '-1'"),
        (binary(floats(), 4 * SIZE), b"\0" * (4 * SIZE), "9" * 30, "Inference-Header-Content-Length"),
        (binary(floats(), 4 * SIZE), b"\0" * (4 * SIZE), "3", "not valid JSON"),
        (binary(floats(), 4 * SIZE), np.full(SIZE, np.nan, "<f4").tobytes(), None, "holds NaN or infinity"),
        (binary(floats(), 4 * SIZE), np.full(SIZE, -np.inf, "<f4").tobytes(), None, "holds NaN or infinity"),
        (binary(pictures(b""), 3), b"\0\0\0", None, "ends inside a length"),
        (binary(pictures(b""), 6), struct.pack("<I", 2**32 - 1) + b"xy", None, "says 4294967295 bytes, and 2 follow"),
        (binary(pictures(b""), 8), b"\0" * 8, None, "has the shape [1] and 2 pictures"),
        (binary(pictures(b""), 4000), b"\0" * 4000, None, "pictures"),
    ],
    ids=map(str, count()),
)
def test_refused_binary_data(client, content, data, header, words):
    headers = {} if header is None else {"inference_header_content_length": header}
    found = post(client, content, data, **headers)
    assert found.status_code == 400, found.text
    assert words in found.json()["error"]


def test_binary_data_without_its_header(client):
    body = json.dumps(binary(floats(), 4 * SIZE)).encode() + b"\xff" * (4 * SIZE)
    found = client.post(INFER, content=body)
    assert (found.status_code, found.json()["error"][:26]) == (400, "the body is not valid JSON")


def test_other_models_and_versions(client):
    assert client.get("/v2/models/small/versions/1").json() == client.get("/v2/models/small").json()
    for path in (
        "/v2/models/x",
        "/v2/models/x/ready",
        "/v2/models/small/versions/2",
        "/v2/models/small/versions/2/infer",
    ):
        found = client.request("POST" if path.endswith("infer") else "GET", path)
        assert found.status_code == 404, path
        assert "unknown" in found.json()["error"]
    assert client.get("/v2/models/" + "x" * 5000).status_code == 404
    assert client.get(INFER).status_code == 405


def test_network_without_a_classifier(tmp_path):
    whole = npresnet.build("resnet10", num_classes=3, threads=1)
    np.savez(tmp_path / "body.npz", **{name: of for name, of in whole._tensors.items() if not name.startswith("fc.")})
    model = npresnet.load(tmp_path / "body.npz", preprocess={"resize": 40, "crop": 40, "std": [40.0] * 3}, threads=1)
    assert not model.config.value("num_classes")
    with TestClient(app(model, name="body")) as client:
        outputs = client.get("/v2/models/body").json()["outputs"]
        assert outputs == [{"name": "embedding", "datatype": "FP32", "shape": [-1, 512]}]
        found = client.post("/v2/models/body/infer", json={"inputs": [pictures(jpeg(1))]})
        np.testing.assert_array_equal(output(found, "embedding").astype(np.float32)[0], model.embed(jpeg(1)))
        refused = client.post("/predict", content=jpeg(1))
        assert (refused.status_code, "no classifier" in refused.json()["error"]) == (422, True)
        assert client.post("/cam", content=jpeg(1)).status_code == 422
        assert "no classifier" in client.get("/").text


def test_pictures_of_their_own_size(model):
    """No crop: each picture's own shape; images of several shapes in one request and in one queue."""
    free = npresnet.build(
        "cifar_resnet20", num_classes=4, preprocess={"resize": None, "crop": None, "std": [40.0] * 3}, threads=1
    )
    with TestClient(app(free, name="free")) as client:
        assert client.get("/v2/models/free").json()["inputs"][0]["shape"] == [-1, 3, -1, -1]
        images = [jpeg(seed, 32 + 8 * (seed % 3), 40) for seed in range(7)]
        found = client.post("/v2/models/free/infer", json={"inputs": [pictures(*images)]})
        wanted = np.concatenate([free(free.preprocess(image)) for image in images])
        np.testing.assert_array_equal(output(found, "logits").astype(np.float32), wanted)
        x = free.preprocess(images[0])
        tensor = {"name": "input", "shape": list(x.shape), "datatype": "FP32", "data": x.ravel().tolist()}
        found = client.post("/v2/models/free/infer", json={"inputs": [tensor]})
        np.testing.assert_array_equal(output(found, "logits").astype(np.float32), wanted[:1])
        found = client.post("/v2/models/free/infer", json={"inputs": [{**tensor, "data": x.tolist()}]})
        np.testing.assert_array_equal(output(found, "logits").astype(np.float32), wanted[:1])
        rows = {"inputs": [{**tensor, "data": [[]] * 10_000}]}
        assert "nested in another way" in client.post("/v2/models/free/infer", json=rows).json()["error"]
        tensor = {"name": "input", "shape": [1, 3, 2**13, 2**13], "datatype": "FP32", "data": []}
        assert client.post("/v2/models/free/infer", json={"inputs": [tensor]}).status_code == 400


def test_clips_are_refused():
    with pytest.raises(npresnet.ArchitectureError, match="takes clips"):
        app(npresnet.build("r3d_18", num_classes=2, threads=1))
