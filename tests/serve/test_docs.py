"""docs/serving.md: what it says to type works, against a server that was started as it says."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from dataclasses import fields

import pytest
from PIL import Image
from starlette.testclient import TestClient

import npresnet
from npresnet.cli.parser import make_parser
from npresnet.serve import Settings, app
from npresnet.serve.bodies import SLOW_RATE, SLOW_S
from npresnet.serve.connections import HEADERS_S, IDLE_S
from npresnet.serve.settings import HELD_BODIES
from tests.serve.conftest import jpeg
from tests.support.checkout import REPOSITORY
from tests.support.served import served
from tools.readme_commands import read_blocks

PAGE = (REPOSITORY / "docs" / "serving.md").read_text(encoding="utf-8")
BLOCKS = [block for block in read_blocks(PAGE, "docs/serving.md") if block.not_run == "server"]
CLIENTS = [block for block in BLOCKS if "http" in block.text]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A served resnet18.npz, by name and classes like the page's, and the page's pictures."""
    folder = tmp_path_factory.mktemp("page")
    how = {"resize": 40, "crop": 32, "std": [40.0] * 3}
    npresnet.build("cifar_resnet20", num_classes=5, preprocess=how, threads=1).save(folder / "resnet18.npz")
    (folder / "dog.jpg").write_bytes(jpeg(1))
    (folder / "cat.jpg").write_bytes(jpeg(2))
    with served("--model", str(folder / "resnet18.npz"), "--threads", "1") as server:
        yield folder, server


@pytest.mark.skipif(os.name == "nt", reason="the page's commands are for a POSIX shell")
@pytest.mark.parametrize("block", CLIENTS, ids=str)
def test_clients(folder, block):
    place, server = folder
    text = block.text.replace("127.0.0.1:8000", server.address)
    assert text != block.text
    command = [sys.executable, "-c", text] if block.language == "python" else ["bash", "-euo", "pipefail", "-c", text]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    if "cam.png" in text:
        assert Image.open(io.BytesIO((place / "cam.png").read_bytes())).size == (32, 32)
        assert done.stdout.count('"top"') == 3
    else:
        assert done.stdout.strip()


def test_the_clients_are_of_every_kind():
    assert [block.language for block in CLIENTS] == ["sh", "python", "python"]


def test_commands_and_defaults():
    parser = make_parser()
    (start,) = [block.text.split() for block in BLOCKS if block.text.startswith("npresnet serve")]
    args = parser.parse_args(start[1:])
    assert (args.host, args.port, args.model) == ("127.0.0.1", 8000, "resnet18.npz")
    assert vars(parser.parse_args(["serve", "--model", "resnet18.npz"])) == vars(args)
    defaults = {field.name: field.default for field in fields(Settings)}
    assert {name: getattr(args, name) for name in defaults} == defaults
    told = {option: value for value, option in re.findall(r"\| (\d+)(?: MiB| s)? \| `(--[a-z-]+)` \|", PAGE)}
    limits = ("--max-body-mb", "--body-timeout-s", "--max-images", "--max-queue", "--max-connections", "--drain-s")
    assert told.keys() == set(limits)
    for option, value in told.items():
        assert getattr(args, option[2:].replace("-", "_")) == float(value), option
    assert f"| {HEADERS_S:.0f} s, 16 KiB |" in PAGE
    assert f"| {SLOW_RATE // 1024} KiB/s after {SLOW_S:.0f} s |" in PAGE
    assert f"if it waits for {IDLE_S:.0f} s" in PAGE
    assert f"| {HELD_BODIES} times that |" in PAGE
    assert f"`--batch-wait-ms` ({args.batch_wait_ms:g})" in PAGE
    assert f"`--max-batch` ({args.max_batch})" in " ".join(PAGE.split())


def test_metrics_and_settings(client):
    client.get("/healthz")
    names = set(re.findall(r"^(npresnet_\w+?)(?:_bucket|_sum|_count)?[ {]", client.get("/metrics").text, re.MULTILINE))
    told = set(re.findall(r"\| `(npresnet_\w+)` \|", PAGE))
    assert told == {name for name in names if not name.endswith("_created")}
    assert {f"`{field.name}`" for field in fields(Settings)} <= set(re.findall(r"`\w+`", PAGE))


def test_every_route_is_told(client):
    told = set(re.findall(r"/[\w/]*", " ".join(re.findall(r"`[^`]*`", PAGE.partition("### POST")[0]))))
    paths = {route.path.replace("{model}", "M") for route in client.app.routes}
    assert {path for path in paths if "{version}" not in path and path != "/v2/"} - told == set()


def test_dockerfile():
    (block,) = [block for block in read_blocks(PAGE) if block.language == "dockerfile"]
    lines = block.text.splitlines()
    assert len(lines) <= 12
    (command,) = [line.partition("CMD ")[2] for line in lines if line.startswith("CMD ")]
    words = [word.strip(' "') for word in command.strip("[]").split(",")]
    args = make_parser().parse_args(words[1:])
    assert (words[0], args.command, args.host, args.model) == ("npresnet", "serve", "0.0.0.0", "/model.npz")


def test_part_of_another_program(model):
    """As the page says; it is ready there, and says so."""
    (block,) = [block for block in read_blocks(PAGE) if "Mount(" in block.text]
    names = {"application": app(model, name="small")}
    exec(block.text, names)
    with TestClient(names["program"]) as client:
        assert client.get("/pets/v2/health/ready").status_code == 200
        assert client.post("/pets/predict", content=jpeg(1)).json()["index"] == model.predict(jpeg(1)).index
        assert client.get("/pets/").status_code == 200
