"""What is too much: bodies, images, pixels, queues; and what a request costs whose client goes away."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.testclient import TestClient

import npresnet
from npresnet.serve import Settings, app, bodies
from npresnet.serve.refusals import ServeError
from tests.serve.conftest import jpeg

KB = 1 / 1024  # in MiB


def check_error(found, status: int, *words: str) -> None:
    assert found.status_code == status, found.text
    assert found.headers["content-type"] == "application/json"
    for word in words:
        assert word in found.json()["error"]


@pytest.fixture(scope="module")
def strict(model):
    with TestClient(app(model, max_body_mb=4 * KB, max_images=3, max_queue=5)) as client:
        yield client


def test_body_too_large(strict):
    check_error(strict.post("/predict", content=b"x" * 4097), 413, "4096 bytes", "--max-body-mb")
    assert strict.post("/predict", content=b"x" * 4096).status_code == 422  # no image, but read


def test_body_too_large_without_its_length(strict):
    found = strict.post("/predict", content=(b"x" * 100 for _ in range(50)))
    check_error(found, 413, "--max-body-mb")
    assert found.headers["connection"] == "close"


@pytest.mark.parametrize("length", ["9" * 30, "4097"])
def test_length_that_is_a_threat(strict, length):
    check_error(strict.post("/predict", content=b"x", headers={"content-length": length}), 413, "4096 bytes")


@pytest.mark.parametrize("name", ["gzip", "x-gzip", "deflate"])
def test_inflated_bodies(strict, model, name):
    def packed(data: bytes) -> bytes:
        return zlib.compress(data) if name == "deflate" else gzip.compress(data)

    image = jpeg(1, 30, 20)
    found = strict.post("/predict", content=packed(image), headers={"content-encoding": name})
    assert found.json()["index"] == model.predict(image).index
    bomb = packed(b"\0" * 2**20)
    assert len(bomb) < 4096
    check_error(strict.post("/predict", content=bomb, headers={"content-encoding": name}), 413, "4096 bytes")
    for damaged in (packed(image)[:-9], image, b""):
        check_error(
            strict.post("/predict", content=damaged, headers={"content-encoding": name}),
            400,
            "compressed" if damaged != image else "Content-Encoding",
        )
    for more in (packed(image), b"x"):  # never answered by a part of what was sent
        check_error(
            strict.post("/predict", content=packed(image) + more, headers={"content-encoding": name}), 400, "follows"
        )


def test_other_encodings(strict):
    check_error(strict.post("/predict", content=jpeg(1), headers={"content-encoding": "br"}), 415, "gzip, deflate")


def test_too_many_images(strict):
    files = [("a", ("x", b"x"))] * 4
    check_error(strict.post("/predict", files=files), 422, "3 images", "--max-images")
    check_error(strict.post("/predict", json={"images": ["x"] * 4}), 422, "3 images", "--max-images")
    pixels = {"name": "image", "datatype": "BYTES", "shape": [4], "data": ["x"] * 4}
    check_error(strict.post("/v2/models/cifar_resnet20/infer", json={"inputs": [pixels]}), 400, "--max-images")


def test_too_many_pixels(weights):
    with TestClient(app(npresnet.load(weights, threads=1, max_pixels=40 * 30))) as client:
        assert client.post("/predict", content=jpeg(1, 40, 30)).status_code == 200
        check_error(client.post("/predict", content=jpeg(1, 41, 30)), 422, "max_pixels = 1200", "--max-pixels")
        check_error(client.post("/cam", content=jpeg(1, 41, 30)), 422, "--max-pixels")


class Held:
    """A model that computes only when it is let."""

    def __init__(self, weights: str):
        self.model = npresnet.load(weights, threads=1)
        self.gate, self.calls, self._call = threading.Event(), [], self.model.__class__.__call__

    def __call__(self, x):
        assert self.gate.wait(20)
        self.calls.append(len(x))
        return self._call(self.model, x)


@pytest.fixture
def held(weights):
    """(Held, application): the batches wait for `gate`."""
    found = Held(weights)
    made = app(found.model, max_images=3, max_queue=5, batch_wait_ms=0)
    made.state.service._batcher._run = found
    yield found, made
    found.gate.set()


def until(is_true, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_full_queue(held):
    found, made = held
    service = made.state.service
    with TestClient(made) as client, ThreadPoolExecutor(4) as clients:
        files = [("a", ("x", jpeg(1)))] * 2
        first = [clients.submit(client.post, "/predict", files=files) for _ in range(2)]
        until(lambda: service.inside == 4)
        refused = client.post("/predict", files=files)
        check_error(refused, 503, "the queue is full", "--max-queue")
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        fits = clients.submit(client.post, "/predict", content=jpeg(2))
        until(lambda: service.inside == 5)
        found.gate.set()
        assert [answer.result().status_code for answer in (*first, fits)] == [200] * 3
        assert (service.inside, service.working, service.held) == (0, 0, 0)
        assert client.post("/predict", files=files).status_code == 200


def test_too_many_requests(held):
    found, made = held
    service = made.state.service
    with TestClient(made) as client, ThreadPoolExecutor(8) as clients:
        answers = [clients.submit(client.post, "/predict", content=jpeg(seed)) for seed in range(5)]
        until(lambda: service.working == 5)
        refused = client.post("/predict", content=jpeg(1))
        check_error(refused, 503, "5 requests are in progress", "--max-queue")
        assert "retry-after" in refused.headers
        assert client.get("/healthz").status_code == client.get("/metrics").status_code == 200
        found.gate.set()
        assert {answer.result().status_code for answer in answers} == {200}


def test_bodies_in_memory_together(model):
    made = app(model, max_body_mb=4 * KB)
    with TestClient(made) as client:
        made.state.service.held = 8 * 4096 - 10
        refused = client.post("/predict", content=b"x" * 11)
        check_error(refused, 503, "32768 bytes", "--max-body-mb")
        assert "retry-after" in refused.headers
        assert client.post("/predict", content=b"x" * 10).status_code == 422
        assert made.state.service.held == 8 * 4096 - 10


async def exchanged(made, messages) -> int:
    """The status of a POST by the application's own interface; None in messages is a pause that does not end."""
    left, sent = list(messages), []

    async def receive():
        message = left.pop(0) if left else None
        if message is None:
            await asyncio.sleep(3600)
        if callable(message):
            message = await message()
        return message

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/predict", "raw_path": b"/predict", "query_string": b"",
        "headers": [], "http_version": "1.1", "scheme": "http", "root_path": "", "asgi": {"version": "3.0"},
        "server": ("x", 1), "client": ("y", 2),
    }  # fmt: skip
    await asyncio.wait_for(made(scope, receive, send), 20)
    return sent[0]["status"]


def asked(made, messages) -> int:
    """The same, of one alone."""
    return asyncio.run(exchanged(made, messages))


def test_slow_body(model):
    made = app(model, body_timeout_s=0.1)
    part = {"type": "http.request", "body": b"x", "more_body": True}
    assert asked(made, [part, None]) == 408
    assert made.state.service.held == 0


@pytest.mark.parametrize(("sent", "stays"), [(b"x", False), (b"x" * 2**20, True)])
def test_slow_body_gives_its_place(model, monkeypatch, sent, stays):
    """To a request that would be one too many; not at once, and not where much has come."""
    monkeypatch.setattr(bodies, "SLOW_S", 3600)
    made = app(model, max_queue=1, max_images=1)
    service = made.state.service
    whole = {"type": "http.request", "body": b"no image", "more_body": False}

    async def scenario() -> None:
        first = asyncio.ensure_future(exchanged(made, [{"type": "http.request", "body": sent, "more_body": True}]))
        while not service.held:
            await asyncio.sleep(0.005)
        assert await exchanged(made, [whole]) == 503
        monkeypatch.setattr(bodies, "SLOW_S", 0)
        await asyncio.sleep(0.05)
        assert await exchanged(made, [whole]) == (503 if stays else 422)
        if stays:
            first.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await first
        else:
            assert await first == 408

    asyncio.run(scenario())
    assert (service.working, service.held, service.arriving) == (0, 0, set())


def test_body_that_has_just_come_keeps_its_place(model):
    """Between its end and the answer it is slow, and there is nothing to cut: the new request is one too many."""
    service = app(model).state.service

    async def scenario() -> None:
        held = bodies.Held(service)
        held.arriving = asyncio.get_running_loop().create_future()
        held.arriving.set_result(b"x")
        service.arriving.add(held)
        assert not bodies.cut_slowest(service)

    asyncio.run(scenario())
    assert service.arriving == set()


def test_client_that_goes_while_it_sends(model):
    part = {"type": "http.request", "body": b"x", "more_body": True}
    assert asked(app(model), [part, {"type": "http.disconnect"}]) == 499


def test_client_that_goes_while_it_waits(held):
    """Its image was not computed yet, and never is."""
    found, made = held
    service = made.state.service

    async def gone():
        while service._batcher._came is None:
            await asyncio.sleep(0.005)
        return {"type": "http.disconnect"}

    service._batcher._wait_s = 3600
    assert asked(made, [{"type": "http.request", "body": jpeg(1), "more_body": False}, gone]) == 499
    found.gate.set()
    assert (found.calls, service.inside, service.held, service.working) == ([], 0, 0, 0)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"max_bach": 3}, "unknown setting 'max_bach'"),
        ({"max_batch": 0}, "max_batch must be an integer of at least 1, got 0"),
        ({"max_batch": 2.0}, "max_batch must be an integer"),
        ({"max_queue": True}, "max_queue must be an integer"),
        ({"batch_wait_ms": -1}, "batch_wait_ms must be a number of at least 0"),
        ({"batch_wait_ms": float("nan")}, "batch_wait_ms"),
        ({"body_timeout_s": float("inf")}, "body_timeout_s"),
        ({"max_body_mb": "2"}, "max_body_mb"),
        ({"max_images": 20, "max_queue": 19}, "raise max_queue, or lower max_images"),
        ({"name": "a/b"}, "a model's name is a part of addresses"),
        ({"name": ""}, "a model's name"),
    ],
)
def test_settings(model, given, words):
    with pytest.raises(ServeError) as raised:
        app(model, **given)
    assert words in str(raised.value)
    assert isinstance(raised.value, npresnet.NpresnetError)


def test_settings_in_bytes():
    assert Settings(max_body_mb=1.5).max_body == 3 * 2**19
