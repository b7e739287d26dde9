"""The file that `load` reads: a path, a name, a cached file; and sources that are not checkpoints."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import npresnet
from npresnet.weights import download
from tests.support.loaded import load, origins
from tests.support.small import ARCH


def test_a_file_takes_precedence_over_a_name(bare, monkeypatch):
    monkeypatch.chdir(bare.parent)
    for name in ("resnet18", "demo"):
        bare.rename(name)
        with load(name) as model:
            assert model.config["arch"].value == ARCH
        Path(name).rename(bare)


def test_the_demo_model_is_included():
    for name in ("demo", "cifar10-resnet20"):
        with load(name) as model:
            assert model.labels == [
                "airplane",
                "automobile",
                "bird",
                "cat",
                "deer",
                "dog",
                "frog",
                "horse",
                "ship",
                "truck",
            ]
            assert model.config["preprocess"].value == "cifar10"
            assert "file" in origins(model).values()


def test_an_unknown_name_suggests_similar_ones():
    with pytest.raises(
        npresnet.CheckpointError, match=r"'resnet19' is neither an existing file.*Did you mean .*resnet18"
    ):
        load("resnet19")
    with pytest.raises(npresnet.CheckpointError, match=r"npresnet\.build\('cifar_resnet56'\)"):
        load("cifar_resnet56")


@pytest.mark.parametrize("url", ["https://example.org/resnet18.pth", "s3://bucket/m.npz", "hf://timm/resnet18"])
def test_a_url_is_no_file(url):
    with pytest.raises(npresnet.CheckpointError, match=f"{url} is a URL, not a file; download it first"):
        load(url)


def test_a_failed_download_names_the_way_out():
    with pytest.raises(
        npresnet.CheckpointError, match=r"resnet18-f37072fd\.pth could not be downloaded.*save the file as"
    ):
        load("resnet18")


@pytest.mark.parametrize("name", ["missing.npz", "folder/missing", "missing.pth.tar", "no\0path.npz"])
def test_a_missing_file_is_a_checkpoint_error(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(npresnet.CheckpointError):
        load(name)


@pytest.mark.parametrize("source", [None, 3, {"conv1.weight": [0.0]}, b"\0"])
def test_other_types_are_a_checkpoint_error(source):
    with pytest.raises(npresnet.CheckpointError):
        load(source)


def test_folders_empty_files_and_other_bytes(tmp_path):
    (tmp_path / "empty.pth").write_bytes(b"")
    (tmp_path / "page.pth").write_text("<!DOCTYPE html><html>404</html>")
    (tmp_path / "noise.pth").write_bytes(np.random.default_rng(0).bytes(5000))
    for path in (tmp_path, *tmp_path.iterdir()):
        with pytest.raises(npresnet.CheckpointError, match=path.name):
            load(path)


def test_a_truncated_checkpoint(data_dir):
    with pytest.raises(npresnet.CheckpointError, match="truncated"):
        load(data_dir / "checkpoints" / "truncated-resnet18-f37072fd.pth")


@pytest.mark.parametrize(
    ("name", "file", "preset", "weights_name"),
    [
        ("resnet18", "resnet18-f37072fd.pth", "V1", "resnet18.IMAGENET1K_V1"),
        ("resnet50", "resnet50-11ad3fa6.pth", "V2", "resnet50.IMAGENET1K_V2"),
        ("resnet50.IMAGENET1K_V1", "resnet50-0676ba61.pth", "V1", "resnet50.IMAGENET1K_V1"),
        ("resnext101_64x4d", "resnext101_64x4d-173b62eb.pth", "V2", "resnext101_64x4d.IMAGENET1K_V1"),
    ],
)
def test_a_name_finds_the_cache_and_its_preprocessing(bare, name, file, preset, weights_name):
    cached = Path(os.environ["NPRESNET_CACHE"]) / file
    cached.write_bytes(bare.read_bytes())
    download._keep_mark(cached)  # as if its hash were right
    for source in (name, cached):
        with load(source) as model:
            decision = model.config["preprocess"]
            assert (decision.value, decision.origin) == (preset, "file")
            assert weights_name in decision.note
