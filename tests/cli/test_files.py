"""npresnet convert, inspect and summary."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

import npresnet
from npresnet import arch, weights
from npresnet.model.metadata import RUNTIME
from npresnet.views.summary import summary
from tests.support.small import ARCH, batch, shared_model


def test_convert(run, tmp_path):
    np.savez(tmp_path / "bare.npz", **arch.random_tensors(ARCH, num_classes=3))
    (tmp_path / "names.json").write_text(json.dumps(["ants", "bees", "cats"]))
    done = run(
        *("convert", tmp_path / "bare.npz", tmp_path / "out.npz", "--labels", tmp_path / "names.json"),
        *("--preprocess", "V2", "--option", "bn_eps=0.001"),
    )
    assert (done.code, done.out) == (0, "")
    assert f"wrote {tmp_path / 'out.npz'}" in done.err
    with npresnet.load(tmp_path / "out.npz", threads=1) as model:
        assert model.labels == ["ants", "bees", "cats"]
        assert (model.config["preprocess"].value, model.config["bn_eps"].value) == ("V2", 0.001)


def test_convert_that_fails_writes_nothing(run, tmp_path, model_file):
    (tmp_path / "noise.pth").write_bytes(b"\x80\x02noise")
    for source, target in (("noise.pth", "out.npz"), (model_file, "out.pth"), ("missing.pth", "out.npz")):
        done = run("convert", tmp_path / source, tmp_path / target)
        assert (done.code, done.out) == (1, "")
        assert done.err.startswith("npresnet: error: ")
    assert [path.name for path in tmp_path.iterdir()] == ["noise.pth"]


def test_inspect_shows_tensors_and_every_decision(run, model_file):
    done = run("inspect", model_file)
    assert (done.code, done.err) == (0, "")
    lines = [line.split() for line in done.out.splitlines()]
    assert ["container", "npz"] in lines
    assert ["conv1.weight", "(16,", "3,", "3,", "3)", "float32"] in lines
    for name, decision in shared_model().config.items():
        if name not in RUNTIME:
            row = next(line for line in lines if line and line[0] == name and "file" in line)
            assert row[1] == str(decision.value).split()[0]


def test_inspect_a_real_checkpoint(run, cifar_checkpoints):
    done = run("inspect", cifar_checkpoints[20])
    assert done.code == 0
    for words in (["wrapper", "state_dict"], ["prefix", "module."], ["arch", "cifar_resnet20", "inferred"]):
        assert words in [line.split()[: len(words)] for line in done.out.splitlines()]


def test_inspect_a_foreign_file(run, tmp_path):
    np.savez(tmp_path / "foreign.npz", words=np.zeros((5, 7), np.float16), counts=np.arange(3))
    done = run("inspect", tmp_path / "foreign.npz")
    assert (done.code, done.err) == (0, "")
    assert ["words", "(5,", "7)", "float16"] in [line.split() for line in done.out.splitlines()]
    assert "none that is supported" in done.out


@pytest.fixture(scope="module")
def two_networks(tmp_path_factory):
    """A file with a student of three classes and a teacher of five, whose names it tells."""
    networks = {name: arch.random_tensors(ARCH, num_classes=n) for name, n in (("student", 3), ("teacher", 5))}
    path = tmp_path_factory.mktemp("two") / "two.pkl"
    path.write_bytes(pickle.dumps({"networks": networks, "classes": ["a", "b", "c", "d", "e"]}))
    return path


def test_key_says_which_state_dict(run, tmp_path, two_networks):
    done = run("inspect", two_networks, "--key", "networks.teacher")
    assert done.code == 0
    for words in (["wrapper", "networks.teacher"], ["num_classes", "5"], ["key", "networks.teacher", "caller"]):
        assert any(line.split()[: len(words)] == words for line in done.out.splitlines()), words
    assert "labels: ['a', 'b', 'c', 'd', 'e']" in done.out
    assert run("convert", two_networks, tmp_path / "out.npz", "--key", "networks.teacher").code == 0
    with npresnet.load(tmp_path / "out.npz", threads=1) as model:
        assert model.labels == ["a", "b", "c", "d", "e"]
    assert "[-1, 3]" in run("summary", two_networks, "--key", "networks.student").out


def test_a_missing_or_unknown_key(run, tmp_path, two_networks):
    done = run("convert", two_networks, tmp_path / "out.npz")
    assert (done.code, done.out) == (1, "")
    assert "several state dicts (networks.student, networks.teacher)" in done.err
    done = run("convert", two_networks, tmp_path / "out.npz", "--key", "tutor")
    assert "key='tutor' is not in the file. State dicts are at: networks.student, networks.teacher" in done.err
    assert "networks.student, networks.teacher" in run("inspect", two_networks).out


def test_inspect_shows_what_is_ambiguous(run, tmp_path):
    tensors = arch.random_tensors(ARCH, num_classes=3)
    tensors |= {"linear.0.weight": np.ones((4, 64), np.float32), "linear.3.weight": np.ones((3, 4), np.float32)}
    del tensors["linear.weight"], tensors["linear.bias"]
    np.savez(tmp_path / "net.npz", **tensors)
    done = run("inspect", tmp_path / "net.npz", "--preprocess", "cifar10")
    assert (done.code, done.err) == (0, "")
    rows = {line.split()[0]: line for line in done.out.splitlines() if line.startswith("  ")}
    assert rows["head_activation"].split()[1:4] == ["relu", "default", "ambiguous"]
    assert "or head_activation='none', head_activation='tanh'" in rows["head_activation"]
    assert rows["block"].split()[1:4] == ["BasicBlock", "inferred", "told"]
    assert rows["scores"].split()[1:4] == ["softmax", "default", "custom"]
    assert "head_activation: settle with --option head_activation=none or --option" in done.out
    told = run("inspect", tmp_path / "net.npz", "--option", "head_activation=tanh").out
    assert "tanh  " in next(line for line in told.splitlines() if line.startswith("  head_activation"))


def test_inspect_with_an_option_that_does_not_fit(run, model_file):
    done = run("inspect", model_file, "--option", "head=absent")
    assert done.code == 0
    assert "network    none that is supported: " in done.out
    assert "no classifier of that name" in done.out


@pytest.mark.parametrize("content", [b"", b"<html>", b"PK\x03\x04cut", bytes(range(256)) * 9])
def test_inspect_unreadable_files(run, tmp_path, content):
    (tmp_path / "bad.pth").write_bytes(content)
    done = run("inspect", tmp_path / "bad.pth")
    assert (done.code, done.out) == (1, "")
    assert "bad.pth" in done.err


def test_summary_of_a_name(run):
    done = run("summary", "resnet18", "--batch-size", 64)
    assert (done.code, done.err) == (0, "")
    assert "Forward/backward pass size (MB): 4018.74\n" in done.out
    assert "Estimated Total Size (MB): 4100.08\n" in done.out
    assert "         [64, 64, 112, 112] " in done.out


def test_summary_of_a_name_of_weights_downloads_nothing(run):
    done = run("summary", "resnet50.IMAGENET1K_V2", "--option", "stride_on=1x1", "--batch-size", 64)
    assert done.code == 0
    assert "Forward/backward pass size (MB): 17567.99\n" in done.out


def test_summary_of_a_file_has_its_image_size(run, model_file):
    network = shared_model().network
    assert run("summary", model_file).out == summary(network, (3, 32, 32)) + "\n"
    assert run("summary", model_file, "--input-size", 3, 64, 48).out == summary(network, (3, 64, 48)) + "\n"


def test_summary_of_an_unknown_name(run, tmp_path):
    for name in ("resnet19", tmp_path / "missing.npz"):
        done = run("summary", name)
        assert (done.code, done.out) == (1, "")
    assert run("summary", "resnet18", "--input-size", 3, 224).code == 2
    assert run("summary", "resnet18", "--input-size", 4, 224, 224).code == 1


def test_converted_files_are_readable_by_numpy(run, tmp_path, model_file):
    run("convert", model_file, tmp_path / "out.npz")
    assert weights.read_state_dict(tmp_path / "out.npz").keys() == weights.read_state_dict(model_file).keys()
    with npresnet.load(tmp_path / "out.npz", threads=1) as model:
        np.testing.assert_array_equal(model(batch(1)), shared_model()(batch(1)))
