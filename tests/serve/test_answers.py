"""Answers that are large: written and sent in pieces, and counted while they are on their way."""

from __future__ import annotations

import asyncio
import base64
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from starlette.testclient import TestClient

import npresnet
from npresnet.serve import app, refusals
from npresnet.serve.answers import PIECE, Answer
from tests.serve.conftest import jpeg

CLASSES = 2345


@pytest.fixture(scope="module")
def wide():
    """A model of many classes."""
    return npresnet.build("cifar_resnet20", num_classes=CLASSES, seed=3, threads=1)


@pytest.mark.parametrize("count", [0, 1, refusals.FEW - 1, refusals.FEW, refusals.FEW + 1, 3 * refusals.FEW])
def test_lists(count):
    values = [[0, "ü", {"a": None}][i % 3] for i in range(count)]
    assert refusals.json_list(values) == refusals.json_bytes(values)
    with_list = refusals.json_with({"a": "x"}, "b", refusals.json_list(values))
    assert with_list == refusals.json_bytes({"a": "x", "b": values})
    assert refusals.json_with({}, "b", b"1") == b'{"b":1}'


def count_of(content) -> int:
    if isinstance(content, dict):
        content = list(content.values())
    return 1 + sum(map(count_of, content)) if isinstance(content, list) else 1


def test_no_call_of_json_is_long(wide, monkeypatch):
    """It lets no other thread in. The numbers are those of the model all the same."""
    counts, dumps = [], json.dumps

    def counting(content, **options):
        counts.append(count_of(content))
        return dumps(content, **options)

    monkeypatch.setattr(refusals, "json", SimpleNamespace(dumps=counting))
    image = base64.b64encode(jpeg(1)).decode()
    pictures = {"name": "image", "datatype": "BYTES", "shape": [3], "data": [image] * 3}
    wanted = [{"name": "logits"}, {"name": "probabilities", "parameters": {"classification": CLASSES}}]
    with TestClient(app(wide, name="wide")) as client:
        found = client.post("/v2/models/wide/infer", content=dumps({"inputs": [pictures], "outputs": wanted})).json()
        records = client.post(f"/predict?top={CLASSES}", content=dumps({"images": [image] * 2}),
                              headers={"content-type": "application/json"}).json()  # fmt: skip
        no_numbers = client.post("/predict?top=1", content=jpeg(1)).json()
    logits = wide(wide.preprocess(jpeg(1)))[0]
    entries = {entry["name"]: entry for entry in found["outputs"]}
    np.testing.assert_array_equal(np.array(entries["logits"]["data"], np.float32), np.tile(logits, 3))
    assert [len(entries[name]["data"]) for name in ("logits", "probabilities")] == [3 * CLASSES] * 2
    assert [len(record["top"]) for record in records] == [CLASSES] * 2
    assert records[1]["top"] == sorted(records[1]["top"], key=lambda one: (-one["score"], one["index"]))
    assert no_numbers["index"] == records[0]["index"] == int(logits.argmax())
    assert max(counts) <= 4 * refusals.FEW + 10  # a candidate is four


def test_sent_in_pieces(wide):
    """Each waits for the server; what is left of the answer counts, and its request is in progress."""
    made = app(wide)
    service, seen, body = made.state.service, [], jpeg(1)
    scope = {
        "type": "http", "method": "POST", "path": "/predict", "raw_path": b"/predict", "headers": [],
        "query_string": b"top=%d" % CLASSES, "http_version": "1.1", "scheme": "http", "root_path": "",
        "asgi": {"version": "3.0"}, "server": ("x", 1), "client": ("y", 2),
    }  # fmt: skip

    async def exchange() -> None:
        left = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive():
            while not left:
                await asyncio.sleep(3600)
            return left.pop()

        async def send(message):
            seen.append((message, service.working, service.held))

        await asyncio.wait_for(made(scope, receive, send), 20)

    asyncio.run(exchange())
    start, *pieces = (message for message, _, _ in seen)
    sizes = [len(piece["body"]) for piece in pieces]
    total = int(dict(start["headers"])[b"content-length"])
    assert (sum(sizes), len(sizes), max(sizes)) == (total, math.ceil(total / PIECE), PIECE)
    assert len(sizes) > 1
    assert [piece["more_body"] for piece in pieces] == [True] * (len(pieces) - 1) + [False]
    assert json.loads(b"".join(piece["body"] for piece in pieces))["index"] >= 0
    assert {working for _, working, _ in seen} == {1}
    assert [held for _, _, held in seen[1:]] == [total - PIECE * i for i in range(len(pieces))]
    assert (service.working, service.held) == (0, 0)


def test_a_server_that_fails_leaves_nothing_counted(wide):
    """As one does whose client has gone."""
    service = app(wide).state.service

    async def send(message):
        if not message["more_body"]:
            raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        asyncio.run(Answer(send, service).send({"type": "http.response.body", "body": bytes(PIECE + 1)}))
    assert service.held == 0
