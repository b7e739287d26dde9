"""Decisions and their origins: the tensors, the caller or defaults; invalid values are refused."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest

import npresnet
from npresnet import arch
from npresnet.cpu.kernels.lowering import Options
from tests.support.loaded import load, origins, values
from tests.support.small import ARCH, picture


def test_inferred_and_default_decisions(bare):
    with load(bare) as model:
        found = origins(model)
        assert found["arch"] == found["layers"] == found["num_classes"] == "inferred"
        assert found["bn_eps"] == found["preprocess"] == found["labels"] == "default"
        assert values(model)["preprocess"] == values(model)["labels"] == "cifar10"


def test_decisions_of_the_caller(bare):
    names = [f"class {i}" for i in range(10)]
    with load(bare, arch=ARCH, labels=names, preprocess={"crop": 24, "exif": True}, bn_eps=1e-3) as model:
        found = origins(model)
        assert {found[n] for n in ("arch", "labels", "preprocess", "bn_eps", "threads")} == {"caller"}
        assert model.labels == values(model)["labels"] == names
        assert model.preprocess(picture()).shape == (1, 3, 24, 24)
        assert values(model)["preprocess"]["resize"] == 32  # fields that are not given are unchanged
        assert model.predict(picture()).label in names


def test_labels_from_a_file(bare, tmp_path):
    names = [f"class {i}" for i in range(10)]
    (tmp_path / "names.json").write_text(json.dumps(names))
    with load(bare, labels=tmp_path / "names.json") as model:
        assert model.labels == names


def test_labels_may_be_unknown(tmp_path):
    np.savez(tmp_path / "seven.npz", **arch.random_tensors(ARCH, num_classes=7))
    with load(tmp_path / "seven.npz") as model:
        assert model.labels is None
        assert model.config["labels"].value is None
        prediction = model.predict(picture())
        assert prediction.label == str(prediction.index)


@pytest.mark.parametrize("count", [1, 9, 11, 1000])
def test_there_must_be_one_label_per_class(bare, count):
    with pytest.raises(npresnet.ArchitectureError, match=f"expected 10 labels.* got {count}"):
        load(bare, labels=[str(i) for i in range(count)])


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        ({"device": "cuda"}, npresnet.DeviceError, "CuPy, which is not installed.*pip install 'npresnet.cuda12.'"),
        ({"device": "cuda:1"}, npresnet.DeviceError, 'device="cpu" runs anywhere'),
        ({"device": "cuda:x"}, npresnet.DeviceError, "cuda:x"),
        ({"device": "gpu"}, npresnet.DeviceError, '"cpu", "cuda", "cuda:1" or "auto"'),
        ({"device": None}, npresnet.DeviceError, "None"),
        ({"dtype": "float16"}, npresnet.ArchitectureError, 'float32 only.*device="cuda"'),
        ({"dtype": "tf32"}, npresnet.ArchitectureError, "float32 only"),
        ({"dtype": np.float16, "device": "auto"}, npresnet.ArchitectureError, "float32 only.*chose the CPU"),
        ({"dtype": "float64"}, npresnet.ArchitectureError, "tf32, float16 or bfloat16"),
        ({"dtype": "no dtype"}, npresnet.ArchitectureError, "no dtype"),
        ({"threads": 0}, npresnet.ShapeError, "threads must be an integer >= 1, got 0"),
        ({"threads": 1.5}, npresnet.ShapeError, "1.5"),
        ({"threads": True}, npresnet.ShapeError, "True"),
        ({"fast": 1}, npresnet.ArchitectureError, "fast must be True or False, got 1"),
        ({"fast": None}, npresnet.ArchitectureError, "fast must be True or False, got None"),
        ({"winograd": "no"}, npresnet.ArchitectureError, "winograd must be True or False, got 'no'"),
        ({"arch": "resnet50"}, npresnet.ArchitectureError, "does not fit the tensors"),
        ({"arch": "nonsense"}, npresnet.ArchitectureError, "unknown architecture 'nonsense'"),
        ({"preprocess": "V3"}, npresnet.ArchitectureError, "V3"),
        ({"preprocess": {"sice": 3}}, npresnet.ArchitectureError, "sice"),
        ({"labels": "missing.txt"}, npresnet.CheckpointError, "missing.txt"),
        ({"strides_on": "1x1"}, npresnet.ArchitectureError, "'strides_on'.*stride_on"),
        ({"groups": 2}, npresnet.ArchitectureError, "groups=2"),
    ],
    ids=str,
)
def test_invalid_arguments_are_refused(bare, no_cupy, wrong, error, words):
    with pytest.raises(error, match=words):
        npresnet.load(bare, **wrong)


def test_every_error_is_an_npresnet_error(bare, no_cupy):
    for wrong in ({"device": "cuda"}, {"dtype": "int8"}, {"threads": -1}, {"labels": ["one"]}):
        with pytest.raises(npresnet.NpresnetError):
            npresnet.load(bare, **wrong)


@pytest.mark.parametrize("fast", [False, True, np.True_])
@pytest.mark.parametrize("winograd", [False, True, np.False_])
def test_fast_and_winograd_are_passed_to_the_backend_and_recorded_in_the_config(bare, tmp_path, fast, winograd):
    loaded, built = load(bare, fast=fast, winograd=winograd), npresnet.build(ARCH, fast=fast, winograd=winograd)
    for model in (loaded, built, copy.copy(loaded)):
        with model:
            for name, value, usual in (("fast", fast, False), ("winograd", winograd, True)):
                decision = model.config[name]
                assert decision.value is bool(value)
                assert decision.origin == ("default" if decision.value is usual else "caller")
                assert decision.note
            for modules in (None, ("layer2",)):
                executable = model._executables.get(modules)
                assert executable.options == Options(winograd=bool(winograd), exact=not fast)
                algorithms = [step.algorithm for step in executable.plan((3, 32, 32)).steps]
                assert winograd or not any("winograd" in algorithm for algorithm in algorithms)
            model.save(tmp_path / "saved.npz")
    with load(tmp_path / "saved.npz") as model:  # runtime options are not saved
        assert (model.config.value("fast"), model.config.value("winograd")) == (False, True)


def test_the_note_on_fast(bare):
    with load(bare, fast=True) as model:
        assert "last bits may depend on the batch" in str(model.config)


@pytest.mark.parametrize("dtype", [np.float32, "float32", "f4", np.dtype("float32")])
def test_float32_in_any_spelling(bare, dtype):
    load(bare, dtype=dtype).close()


def test_auto_records_its_choice(bare, no_cupy):
    with load(bare, device="auto") as model:
        assert model.config["device"].value == "cpu"
        assert model.config["device"].origin == "inferred"
        assert "CuPy, which is not installed" in model.config["device"].note
        assert "auto" in repr(model)
    with load(bare) as model:
        assert "auto" not in repr(model)


def test_the_order_of_channels(bare, tmp_path):
    """`bgr=` turns any preprocessing, with the numbers of its colours; it is stored, and can be turned back."""
    image = picture()
    with load(bare) as usual, load(bare, bgr=True) as model:
        x = usual.preprocess(image)
        assert np.array_equal(model.preprocess(image), x[:, ::-1])
        assert (origins(model)["bgr"], origins(model)["preprocess"]) == ("caller", "caller")
        model.save(tmp_path / "turned.npz")
    with load(tmp_path / "turned.npz") as model:
        assert np.array_equal(model.preprocess(image), x[:, ::-1])
        assert model.config["bgr"].value is True
    with load(tmp_path / "turned.npz", bgr=False) as model:
        assert np.array_equal(model.preprocess(image), x)
    with load(bare, preprocess={"bgr": True}) as model:
        assert np.array_equal(model.preprocess(image), x[:, ::-1])
    with pytest.raises(npresnet.ArchitectureError, match="bgr must be True or False"):
        load(bare, bgr="yes")


@pytest.mark.parametrize("given", [{"bgr": False}, "cifar10", {"preset": "V1"}], ids=str)
def test_the_caller_s_order_of_channels_wins_over_the_file_s(tmp_path, given):
    npresnet.convert("demo", tmp_path / "b.npz", bgr=True)
    config = npresnet.load(tmp_path / "b.npz", preprocess=given, threads=1).config
    assert config.value("bgr") is False
    with npresnet.load(tmp_path / "b.npz", preprocess={"exif": True}, threads=1) as model:
        assert model.config.value("bgr") is True  # nothing was said about it
        assert model.config.value("preprocess")["bgr"] is True
    with pytest.raises(npresnet.ArchitectureError, match="contradicts the order in preprocess"):
        npresnet.load("demo", bgr=True, preprocess={"bgr": False})
