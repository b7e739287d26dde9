"""Names of timm and of torchvision's video models: timed as their own modules, with weights that those made."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from npresnet.bench import originals, peers
from npresnet.bench.engines import Job
from npresnet.bench.prepare import IMAGES, LOGITS, Prepared, Request, prepare, relative_rms_error
from tests.support.torchvision_import import import_timm, import_torchvision


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Prepared:
    import_timm()
    return prepare(Request("resnet10t", str(tmp_path_factory.mktemp("originals")), size=32, onnx="npresnet"))


def test_whose_model_a_name_is():
    import_timm()
    import_torchvision()
    names = ("resnet18", "r3d_18", "resnet50_gn", "resnet18.a1_in1k", "resnet19")
    assert list(map(originals.find, names)) == ["torchvision", "torchvision", "timm", "timm", None]


@pytest.mark.parametrize("engine", [peers.ours, peers.torch_eager, peers.torch_channels_last, peers.onnxruntime])
def test_every_engine_has_the_weights_that_the_original_made(prepared, engine, monkeypatch):
    if engine is peers.onnxruntime:
        pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    import torch

    monkeypatch.setattr(torch, "set_num_interop_threads", lambda threads: None)  # only once in a process
    folder = Path(prepared.folder)
    images, expected = np.load(folder / IMAGES), np.load(folder / LOGITS)
    loaded = engine(Job(folder, Path(prepared.model), len(images), torch.get_num_threads()))
    found = np.asarray(loaded.run(loaded.feed(images)))
    assert relative_rms_error(found, expected) < 10 * prepared.float32_error
    assert prepared.reference == "timm, float64"
    if engine in (peers.torch_eager, peers.torch_channels_last):
        assert set(loaded.versions) == {"torch", "timm"}


def test_the_noted_module_is_that_of_its_home(prepared):
    home, module = originals.load(Path(prepared.folder), Path(prepared.model))
    assert (home, type(module).__module__.split(".")[0], module.training) == ("timm", "timm", False)
    assert json.loads((Path(prepared.folder) / originals.FILE).read_text()) == {"home": "timm", "name": "resnet10t"}


def test_a_folder_without_a_note_has_no_original(tmp_path):
    pytest.importorskip("torch", reason="torch is not installed")
    assert originals.load(tmp_path, tmp_path / "model.pth") is None


def test_random_norms_have_work_to_do_and_keep_values_small():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from torch import nn

    torch.manual_seed(0)
    blocks = [nn.Sequential(nn.Conv2d(8, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU()) for _ in range(6)]
    module = nn.Sequential(nn.Conv2d(3, 8, 1), nn.GroupNorm(2, 8), *blocks).eval()
    x = 100 * torch.randn(2, 3, 32, 32)
    originals.randomise(module, x, seed=1)
    norms = [block[1] for block in blocks]
    assert not any(layer.training for layer in module.modules())
    assert all(np.ptp(layer.running_var.numpy()) > 0 and np.ptp(layer.weight.detach().numpy()) > 0.3 for layer in norms)
    assert np.ptp(module[1].weight.detach().numpy()) > 0.3
    assert all(layer.momentum == 0.1 for layer in norms)
    assert 0.1 < module(x).std() < 10
