"""Fixtures for the command line: the file of a small model, images, and a function that runs a command."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import npresnet
from npresnet import cli
from npresnet.weights import names as weight_names
from tests.support.small import shared_model, write_pictures


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys, monkeypatch):
    """run("predict", "a.jpg", ..., stdin="...") -> Result(code, out, err); stdin may be text or bytes."""

    def run(*words: object, stdin: str | bytes = "", encoding: str = "utf-8") -> Result:
        data = stdin.encode() if isinstance(stdin, str) else stdin
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding, "surrogateescape"))
        try:
            code = cli.main([str(word) for word in words])
        except SystemExit as stop:  # argparse
            code = stop.code
        return Result(code, *capsys.readouterr())

    return run


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("NPRESNET_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path_factory.mktemp("torch")))
    monkeypatch.setenv(weight_names.BASE_URL_VARIABLE, "http://127.0.0.1:9")


@pytest.fixture(scope="session")
def model_file(tmp_path_factory) -> Path:
    """A ten-class CIFAR ResNet-20 with random weights."""
    path = tmp_path_factory.mktemp("model") / "small.npz"
    shared_model().save(path)
    return path


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The working directory: photos/ with five images, a text file and a damaged image."""
    monkeypatch.chdir(tmp_path)
    write_pictures(tmp_path / "photos", 5)
    (tmp_path / "photos" / "notes.txt").write_text("no image")
    (tmp_path / "broken.png").write_bytes((tmp_path / "photos" / "000.png").read_bytes()[:70])
    return tmp_path


@pytest.fixture
def expected(folder) -> dict[str, npresnet.Prediction]:
    """path -> the model's prediction, for the images in photos/."""
    paths = [f"photos/{number:03d}.png" for number in range(5)]
    return dict(zip(paths, shared_model().predict(paths), strict=True))
