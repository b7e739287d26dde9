"""The sweep's verdicts on networks whose verdict is known, wrong ones among them."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.kit.sweep import home_shapes, homes, networks, verdicts
from tests.support.torchvision_import import import_timm, import_torchvision

torch = pytest.importorskip("torch", reason="torch is not installed")


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setenv("NPRESNET_PREPARED", "0")
    monkeypatch.setattr(networks, "EVEN", (2, 32, 32))
    monkeypatch.setattr(networks, "ODD", (1, 45, 40))


def made(**options):
    resnet = import_torchvision().models.resnet
    return resnet.ResNet(resnet.BasicBlock, [1, 1, 1, 1], num_classes=3, **options)


def judged(folder, module, name="resnet", *, change=lambda module: None, extra=None, **options):
    networks.randomise(module)
    oracle = networks.consult(module)
    change(module)
    state = module.state_dict() | (extra or {})
    path = folder / "model.pth"
    verdicts.save(path, state, **options)
    return verdicts.judge_file(path, state, oracle, name, True)


def test_a_plain_network_runs(tmp_path):
    found = judged(tmp_path, made())
    assert (found["verdict"], found["family"]) == ("runs", "torchvision")
    assert found["error"] < verdicts.EXACT
    assert 0.2 < found["rms"] < verdicts.MOST_RMS


def test_a_network_with_a_blur_needs_its_name_or_the_option(tmp_path):
    found = judged(tmp_path, import_timm().create_model("resnetblur18", num_classes=3), "resnetblur18")
    assert (found["verdict"], found["options"]) == ("needs", {"antialias": "blur"})
    assert "resnetblur" in found["notes"]["antialias"]


def test_other_numbers_are_wrong(tmp_path):
    def change(module):
        with torch.no_grad():
            module.fc.bias += 1e-3

    assert judged(tmp_path, made(), change=change)["verdict"] == "wrong"


def test_an_unknown_tensor_is_refused(tmp_path):
    found = judged(tmp_path, made(), extra={"gate.weight": torch.ones(3)})
    assert found["verdict"] == "refused"
    assert "gate.weight" in found["message"]
    assert str(tmp_path) not in found["message"]


def test_a_large_error_in_float32_is_wrong(tmp_path, monkeypatch):
    monkeypatch.setattr(verdicts, "relative_rms", lambda model, oracle: (2.5e-6, 1e-6))
    found = judged(tmp_path, made())
    assert (found["verdict"], found["was"], found["rms"]) == ("wrong", "runs", 2.5)


def test_one_large_error_is_held_against_more_networks(tmp_path, monkeypatch):
    errors = iter([(1e-6, 1e-6), (3e-6, 1e-6)] * 3)
    monkeypatch.setattr(verdicts, "relative_rms", lambda model, oracle: next(errors))
    monkeypatch.setattr(verdicts, "SEEDS", 2)
    monkeypatch.setattr(verdicts, "create", lambda found, seed: made())
    found = networks.Name("torchvision", "resnet", "resnet")
    record = {"verdict": "wrong", "was": "runs", "rms": 3.0, "message": "too large"}
    again = verdicts.again(record, found, tmp_path / "model.pth")
    assert again == {"verdict": "wrong", "rms": 2.24, "networks": 2, "message": "too large"}
    errors = iter([(1e-6, 1e-6)] * 2)
    assert verdicts.again(record, found, tmp_path / "model.pth") == {"verdict": "runs", "rms": 1.0, "networks": 2}


def test_results_of_another_shape_or_not_finite_differ():
    assert verdicts.difference(np.ones((1, 2)), np.ones((1, 3))) == float("inf")
    assert verdicts.difference(np.full((1, 2), np.nan), np.ones((1, 2))) == float("inf")
    assert verdicts.difference(np.ones((2, 1, 1)), np.ones((2, 1))) == 0


def small_net(**options):
    return home_shapes.cifar(blocks=(1, 1, 1), custom="downsample", head="fc")


def test_a_home_that_runs():
    found = homes.judge_home("chenyaofo", home_shapes.made(small_net(), sizes=(2, 17, 16)))
    assert (found["home"], found["verdict"]) == ("chenyaofo", "runs")


def test_a_home_that_needs_an_option_says_so_or_is_wrong():
    options = {"max_pool": True}
    asked = homes.judge_home("a pool", home_shapes.made(home_shapes.stem(3, 1, True), sizes=(1, 17, 16), **options))
    assert (asked["verdict"], asked["options"]) == ("needs", options)
    assert "max_pool" in asked["said"]
    silent = homes.judge_home(
        "a pool, silently",
        home_shapes.made(home_shapes.stem(7, 2, False, classes=3), sizes=(1, 17, 16), max_pool=False),
    )
    assert (silent["verdict"], silent["told"]) == ("wrong", "runs")


def test_a_home_whose_script_fails_is_a_crash():
    def home(folder):
        raise KeyError("layer9")

    found = homes.judge_home("broken", home)
    assert found["verdict"] == "crash"
    assert "layer9" in found["message"]
