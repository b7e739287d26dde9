"""POST /predict: every way to send images, and what is said of those that are none."""

from __future__ import annotations

import base64
import json
import re
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest
from starlette.testclient import TestClient

import npresnet
from npresnet.model.records import record
from npresnet.serve import app, predict, uploads
from tests.serve.conftest import LABELS, jpeg


def expected(model, image: bytes, path: str = "0", top: int = 5) -> dict:
    return json.loads(json.dumps(record(path, model.predict(image, top=top))))


def base64_of(image: bytes) -> str:
    return base64.b64encode(image).decode()


@pytest.mark.parametrize(
    "kind", ["image/jpeg", "image/png; q=1", "application/octet-stream", "application/x-www-form-urlencoded", None]
)
def test_raw_bytes(client, model, kind):
    found = client.post("/predict", content=jpeg(1), headers={"content-type": kind} if kind else {})
    assert found.status_code == 200
    assert found.headers["content-type"] == "application/json"
    assert found.json() == expected(model, jpeg(1))


@pytest.mark.parametrize("top", [1, 3, 6, 99])
def test_top(client, model, top):
    found = client.post("/predict", params={"top": top}, content=jpeg(2, kind="PNG")).json()
    assert found == expected(model, jpeg(2, kind="PNG"), top=top)
    assert len(found["top"]) == min(top, len(LABELS))


@pytest.mark.parametrize("top", ["0", "-1", "x", "1.5", "", "9" * 40, "²"])
def test_top_that_is_none(client, top):
    found = client.post("/predict", params={"top": top}, content=jpeg(2))
    assert found.status_code == 400
    assert "top must be an integer of at least 1" in found.json()["error"]


@pytest.mark.parametrize("query", ["topk=3", "top=3&top=4", "top=3&x=1", "x", "index=2"])
@pytest.mark.parametrize("path", ["predict", "cam"])
def test_addresses_that_ask_for_something_else(client, path, query):
    """A misspelt number is no default."""
    query = query if path == "predict" else query.replace("index", "top")
    found = client.post(f"/{path}?{query}", content=jpeg(2))
    assert (found.status_code, "and nothing else, got" in found.json()["error"]) == (400, True)


def test_files_of_a_form(client, model):
    files = [("a", ("dog \u00fc.jpg", jpeg(1))), ("a", ("nothing.jpg", b"GIF89a")), ("b", ("x\x1by.png", jpeg(5)))]
    found = client.post("/predict?top=2", files=files)
    assert found.status_code == 200
    good, bad, odd = found.json()
    assert good == expected(model, jpeg(1), "dog \u00fc.jpg", 2)
    assert bad.keys() == {"path", "error"}
    assert bad["path"] == "nothing.jpg"
    assert odd["index"] == model.predict(jpeg(5)).index
    assert "\x1b" not in found.text


def test_base64_in_json(client, model):
    one = client.post("/predict", json={"image": f"data:image/jpeg;base64,{base64_of(jpeg(3))}"})
    assert one.json() == expected(model, jpeg(3))
    several = client.post("/predict", json={"images": [base64_of(jpeg(4)), "?", 7, base64_of(jpeg(3))]})
    assert several.status_code == 200
    first, bad, number, last = several.json()
    assert first == expected(model, jpeg(4))
    assert last == expected(model, jpeg(3), "3")
    assert "not base64" in bad["error"]
    assert "must be text in base64, got int" in number["error"]
    alone = client.post("/predict", json={"images": [base64_of(jpeg(4))]})
    assert alone.json() == [expected(model, jpeg(4))]


def test_base64_in_many_lines_needs_little_memory(client, model):
    lines = "\r\n\t ".join(re.findall(".{1,3}", base64_of(jpeg(3))))
    assert client.post("/predict", json={"image": lines}).json() == expected(model, jpeg(3))
    body = b'{"image": "' + b"aa " * 2**18 + b'"}'
    tracemalloc.start()
    try:
        uploads.read("application/json", body, 1)
        assert tracemalloc.get_traced_memory()[1] < 6 * len(body)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("content", "kind", "status", "words"),
    [
        (b"", "image/jpeg", 422, "empty"),
        (b"<html>", "image/jpeg", 422, "HTML"),
        (jpeg(1)[:200], "image/jpeg", 422, "truncated"),
        (b'{"image": "AAAA"}', "application/json", 422, "not an image"),
        (b'{"image": "A"}', "application/json", 422, "not base64"),
        (b'{"images": ["A"]}', "application/json", 422, "not base64"),
        (b'{"images": []}', "application/json", 422, "no image"),
        (b'{"images": "A"}', "application/json", 400, "expected {"),
        (b'{"image": "A", "images": []}', "application/json", 400, "['image', 'images']"),
        (b"[]", "application/json", 400, "got list"),
        (b"{", "application/json", 400, "not valid JSON"),
        (b"\xff", "application/json", 400, "not valid JSON"),
        (b'{"image": NaN}', "application/json", 400, "JSON has no NaN"),
        (b"[" * 1100, "application/json", 400, ""),
        (b'{"a":' * 1100, "application/json", 400, ""),
        (b"[" * 100_000, "application/json", 400, "more values than the 1128"),
        (b'{"a":' * 100_000, "application/json", 400, "more values"),
        (b'{"images": [' + b"0," * 2000 + b"0]}", "application/json", 400, "more values"),
        (b"1" * 10_000, "application/json", 400, "not valid JSON"),
        (b"x", "text/plain", 415, "'text/plain' is not supported"),
        (b"x", "multipart/form-data", 400, "no boundary"),
        (b"x", "multipart/form-data; boundary=x", 400, "not multipart"),
        (b"--x\r\n", "multipart/form-data; boundary=x", 400, "truncated"),
        (b"--x--\r\n", "multipart/form-data; boundary=x", 422, "no image"),
        (
            b'--x\r\nContent-Disposition: form-data; name="a"; filename="b"\r\n\r\nhalf',
            "multipart/form-data; boundary=x",
            400,
            "truncated",
        ),
        (
            b'--x\r\nContent-Disposition: form-data; name="top"\r\n\r\n3\r\n--x--\r\n',
            "multipart/form-data; boundary=x",
            400,
            "field 'top' is no file",
        ),
        (b"--x\r\nNo-Disposition: a\r\n\r\n3\r\n--x--\r\n", "multipart/form-data; boundary=x", 400, ""),
    ],
    ids=map(str, count()),
)
def test_what_is_no_image(client, content, kind, status, words):
    found = client.post("/predict", content=content, headers={"content-type": kind})
    assert (found.status_code, found.headers["content-type"]) == (status, "application/json")
    assert found.json().keys() == {"error"}
    assert words in found.json()["error"]


def test_concurrent_requests_each_get_their_own(client, model):
    """48 different pictures by 16 clients at once."""
    images = [jpeg(seed) for seed in range(48)]
    wanted = [expected(model, image) for image in images]
    assert len({found["top"][0]["score"] for found in wanted}) == 48
    with ThreadPoolExecutor(16) as clients:
        found = list(clients.map(lambda image: client.post("/predict", content=image).json(), images))
    assert found == wanted
    assert float(metric(client, "npresnet_batch_images_count")) < float(metric(client, "npresnet_batch_images_sum"))


def metric(client, name: str) -> str:
    lines = client.get("/metrics").text.splitlines()
    return next(line.rpartition(" ")[2] for line in lines if line.startswith((f"{name} ", f"{name}{{")))


@pytest.mark.parametrize("labels", [["a", "b"], ["only"], None])
def test_one_logit(labels):
    model = npresnet.build("cifar_resnet20", num_classes=1, labels=labels, preprocess="cifar10", threads=1)
    with TestClient(app(model)) as client:
        for seed in range(2):
            assert client.post("/predict", content=jpeg(seed)).json() == expected(model, jpeg(seed))


def test_grey_network():
    how = {"resize": 40, "crop": 32, "mean": [0.5], "std": [0.25]}
    model = npresnet.build("cifar_resnet20", num_classes=3, in_channels=1, preprocess=how, threads=1)
    with TestClient(app(model)) as client:
        assert client.post("/predict", content=jpeg(1)).json() == expected(model, jpeg(1))
        assert client.get("/v2/models/cifar_resnet20").json()["inputs"][0]["shape"] == [-1, 1, 32, 32]
        assert client.post("/cam", content=jpeg(1)).status_code == 200


def test_failures_of_the_server_are_logged_and_not_explained(weights, caplog):
    model = npresnet.load(weights, threads=1)
    made = app(model)
    with TestClient(made, raise_server_exceptions=False) as client:
        made.state.service._batcher._run = lambda x: 1 / 0
        hidden = client.post("/predict", content=jpeg(1))
        assert (hidden.status_code, hidden.json()["error"][:17]) == (500, "an internal error")
        assert "zero" not in hidden.text
        made.state.service._batcher._run = model
        model.close()
        told = client.post("/predict", content=jpeg(1))
        assert (told.status_code, "closed" in told.json()["error"]) == (500, True)
        assert [record.name for record in caplog.records if "DeviceError" in record.message] == ["npresnet.serve"]
        assert told.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/predict/", "/cam/", "/healthz/", "/v2/models/small/"])
def test_nobody_is_sent_elsewhere(client, path):
    """A redirect would go to the address that the Host header names."""
    for method in ("GET", "POST"):
        found = client.request(method, path, headers={"host": "elsewhere.example"}, follow_redirects=False)
        assert (found.status_code, "location" in found.headers) == (404, False)
        assert path in found.json()["error"]


def test_many_candidates_do_not_hold_up_others(monkeypatch):
    """They are ranked and written in a thread of their own, not where every connection is served."""
    model = npresnet.build("cifar_resnet20", num_classes=700, seed=1, threads=1)
    threads, write = [], predict.record
    monkeypatch.setattr(
        predict, "record", lambda *given: [threads.append(threading.current_thread().name), write(*given)][1]
    )
    with TestClient(app(model)) as client:
        found = client.post("/predict?top=100000", content=jpeg(1)).json()
        several = client.post("/predict?top=400", files=[("a", ("x", jpeg(1)))] * 2).json()
    assert found == expected(model, jpeg(1), top=700)
    assert several == [expected(model, jpeg(1), "x", 400)] * 2
    assert len(threads) == 3
    assert all(name.startswith("npresnet-decode") for name in threads)
