"""load, build, convert: which file, which decisions and whose, and that nothing is lost or overwritten."""

from __future__ import annotations

import copy
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest

import npresnet
from npresnet import arch, weights
from npresnet.cpu.lowering import Options
from npresnet.metadata import OF_ONE_RUN
from npresnet.weights import names as weight_names
from tests.support.small import ARCH, batch, picture

DILATED = [False, True, True]


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path_factory):
    """Downloads meet an empty cache and a port that nobody listens to."""
    monkeypatch.setenv("NPRESNET_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path_factory.mktemp("torch")))
    monkeypatch.setenv(weight_names.BASE_URL_VARIABLE, "http://127.0.0.1:9")


@pytest.fixture(scope="module")
def tensors():
    return arch.random_tensors(ARCH, num_classes=10)


@pytest.fixture
def bare(tmp_path, tensors) -> Path:
    """A file without metadata, as anybody's `numpy.savez` writes it."""
    path = tmp_path / "bare.npz"
    np.savez(path, **tensors)
    return path


def load(path, **options):
    return npresnet.load(path, threads=1, **options)


def origins(model) -> dict[str, str]:
    return {name: decision.origin for name, decision in model.config.items()}


def values(model) -> dict[str, object]:
    """What was decided about the network, not about this run."""
    return {n: d.value for n, d in model.config.items() if n not in (*OF_ONE_RUN, "source")}


# --- which file ------------------------------------------------------------------------------------------------------


def test_a_file_wins_over_a_name(bare, monkeypatch):
    monkeypatch.chdir(bare.parent)
    for name in ("resnet18", "demo"):
        bare.rename(name)
        with load(name) as model:
            assert model.config["arch"].value == ARCH
        Path(name).rename(bare)


def test_the_demo_model_comes_along():
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


def test_an_unknown_name_says_what_is_close():
    with pytest.raises(npresnet.CheckpointError, match=r"'resnet19' is neither a file.*Did you mean .*resnet18"):
        load("resnet19")
    with pytest.raises(npresnet.CheckpointError, match=r"npresnet\.build\('cifar_resnet56'\)"):
        load("cifar_resnet56")


def test_an_unreachable_name_says_the_way_out():
    with pytest.raises(npresnet.CheckpointError, match=r"resnet18-f37072fd\.pth could not be downloaded.*by hand"):
        load("resnet18")


@pytest.mark.parametrize("name", ["missing.npz", "folder/missing", "missing.pth.tar", "no\0path.npz"])
def test_a_missing_file_is_a_checkpoint_error(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(npresnet.CheckpointError):
        load(name)


@pytest.mark.parametrize("source", [None, 3, {"conv1.weight": np.zeros(3)}, b"\0"])
def test_what_is_no_path_is_a_checkpoint_error(source):
    with pytest.raises(npresnet.CheckpointError):
        load(source)


def test_folders_empty_files_and_other_bytes(tmp_path):
    (tmp_path / "empty.pth").write_bytes(b"")
    (tmp_path / "page.pth").write_text("<!DOCTYPE html><html>404</html>")
    (tmp_path / "noise.pth").write_bytes(np.random.default_rng(0).bytes(5000))
    for path in (tmp_path, *tmp_path.iterdir()):
        with pytest.raises(npresnet.CheckpointError, match=path.name):
            load(path)


def test_a_cut_checkpoint(data_dir):
    with pytest.raises(npresnet.CheckpointError, match="cut off"):
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
    cached = Path(os.environ["NPRESNET_CACHE"]) / file  # what is in the cache was checked when it came
    cached.write_bytes(bare.read_bytes())
    for source in (name, cached):
        with load(source) as model:
            decision = model.config["preprocess"]
            assert (decision.value, decision.origin) == (preset, "file")
            assert weights_name in decision.note


# --- decisions and who made them -------------------------------------------------------------------------------------


def test_what_follows_from_the_tensors_and_what_is_assumed(bare):
    with load(bare) as model:
        found = origins(model)
        assert found["arch"] == found["layers"] == found["num_classes"] == "inferred"
        assert found["bn_eps"] == found["preprocess"] == found["labels"] == "default"
        assert values(model)["preprocess"] == values(model)["labels"] == "cifar10"


def test_what_the_caller_says(bare):
    names = [f"class {i}" for i in range(10)]
    with load(bare, arch=ARCH, labels=names, preprocess={"crop": 24, "exif": True}, bn_eps=1e-3) as model:
        found = origins(model)
        assert {found[n] for n in ("arch", "labels", "preprocess", "bn_eps", "threads")} == {"caller"}
        assert model.labels == values(model)["labels"] == names
        assert model.preprocess(picture()).shape == (1, 3, 24, 24)
        assert values(model)["preprocess"]["resize"] == 32  # what is not said stays as it was
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
def test_there_must_be_a_label_for_each_class(bare, count):
    with pytest.raises(npresnet.ArchitectureError, match=f"{count} labels.* 10 classes"):
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
        ({"threads": 0}, npresnet.ShapeError, "threads is a whole number from 1 on, got 0"),
        ({"threads": 1.5}, npresnet.ShapeError, "1.5"),
        ({"threads": True}, npresnet.ShapeError, "True"),
        ({"fast": 1}, npresnet.ArchitectureError, "fast is True or False, got 1"),
        ({"fast": None}, npresnet.ArchitectureError, "fast is True or False, got None"),
        ({"winograd": "no"}, npresnet.ArchitectureError, "winograd is True or False, got 'no'"),
        ({"arch": "resnet50"}, npresnet.ArchitectureError, "does not fit the tensors"),
        ({"arch": "nonsense"}, npresnet.ArchitectureError, "no architecture called 'nonsense'"),
        ({"preprocess": "V3"}, npresnet.ArchitectureError, "V3"),
        ({"preprocess": {"sice": 3}}, npresnet.ArchitectureError, "sice"),
        ({"labels": "missing.txt"}, npresnet.CheckpointError, "missing.txt"),
        ({"strides_on": "1x1"}, npresnet.ArchitectureError, "'strides_on'.*stride_on"),
        ({"groups": 2}, npresnet.ArchitectureError, "groups=2"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(bare, no_cupy, wrong, error, words):
    with pytest.raises(error, match=words):
        npresnet.load(bare, **wrong)


def test_every_error_is_an_npresnet_error(bare, no_cupy):
    for wrong in ({"device": "cuda"}, {"dtype": "int8"}, {"threads": -1}, {"labels": ["one"]}):
        with pytest.raises(npresnet.NpresnetError):
            npresnet.load(bare, **wrong)


@pytest.mark.parametrize("fast", [False, True, np.True_])
@pytest.mark.parametrize("winograd", [False, True, np.False_])
def test_fast_and_winograd_reach_the_backend_and_stand_in_the_config(bare, tmp_path, fast, winograd):
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
    with load(tmp_path / "saved.npz") as model:  # of that run only
        assert (model.config.value("fast"), model.config.value("winograd")) == (False, True)


def test_what_fast_relaxes_is_said(bare):
    with load(bare, fast=True) as model:
        assert "last bits may depend on the batch" in str(model.config)


@pytest.mark.parametrize("dtype", [np.float32, "float32", "f4", np.dtype("float32")])
def test_float32_by_any_name(bare, dtype):
    load(bare, dtype=dtype).close()


def test_auto_says_what_it_chose(bare, no_cupy):
    with load(bare, device="auto") as model:
        assert model.config["device"].value == "cpu"
        assert model.config["device"].origin == "inferred"
        assert "CuPy, which is not installed" in model.config["device"].note
        assert "auto" in repr(model)
    with load(bare) as model:
        assert "auto" not in repr(model)


# --- build -----------------------------------------------------------------------------------------------------------


def test_build_is_reproducible():
    x = batch(1)
    logits = [npresnet.build(ARCH, num_classes=10, seed=seed, threads=1)(x) for seed in (3, 3, 4)]
    np.testing.assert_array_equal(logits[0], logits[1])
    assert (logits[0] != logits[2]).any()


def test_build_takes_options():
    with npresnet.build("resnet14", num_classes=3, replace_stride_with_dilation=DILATED, threads=1) as model:
        assert model.config["replace_stride_with_dilation"].value == DILATED
        assert model.features(batch(1, size=64), ["layer4"])["layer4"].shape == (1, 2048, 8, 8)
    with npresnet.build("resnet14", zero_init_residual=True, threads=1) as model:
        assert (model.network["layer1.0.bn3"].params["weight"] == 0).all()


def test_build_refuses_what_is_unknown():
    with pytest.raises(npresnet.ArchitectureError, match="Did you mean resnet18"):
        npresnet.build("resnet19")
    with pytest.raises(npresnet.ArchitectureError, match="'depth'"):
        npresnet.build("resnet18", depth=3)


# --- save and convert ------------------------------------------------------------------------------------------------


def test_round_trip_keeps_everything(tmp_path):
    """What keys cannot tell, preprocessing and labels survive two conversions; all of it is then the file's word."""
    names = [f"class {i}" for i in range(6)]
    chosen = {"stride_on": "1x1", "replace_stride_with_dilation": DILATED, "bn_eps": 1e-3}
    first = npresnet.build(
        "resnet14",
        num_classes=6,
        threads=1,
        labels=names,
        preprocess={"resize": 70, "crop": 64, "exif": True},
        **chosen,
    )
    first.save(tmp_path / "saved.npz")
    npresnet.convert(tmp_path / "saved.npz", tmp_path / "again.npz")
    for path in (tmp_path / "saved.npz", tmp_path / "again.npz"):
        with load(path) as model:
            assert values(model) == values(first)
            assert {d.origin for n, d in model.config.items() if n not in OF_ONE_RUN} == {"file"}
            prediction, expected = model.predict(picture()), first.predict(picture())
            np.testing.assert_array_equal(prediction.logits, expected.logits)
            assert prediction.label == expected.label


def test_the_caller_outranks_the_file(tmp_path):
    npresnet.build("resnet14", num_classes=6, threads=1, stride_on="1x1").save(tmp_path / "saved.npz")
    with load(tmp_path / "saved.npz", stride_on="3x3", labels=list("abcdef"), preprocess="V2") as model:
        for name, value in {"stride_on": "3x3", "preprocess": "V2", "labels": list("abcdef")}.items():
            assert (model.config[name].value, model.config[name].origin) == (value, "caller")
        assert model.config["bn_eps"].origin == "file"


def test_convert_keeps_names_and_numbers(bare, tensors, tmp_path):
    target = npresnet.convert(bare, tmp_path / "converted.npz")
    assert target == tmp_path / "converted.npz"
    with np.load(target, allow_pickle=False) as found:
        assert sorted(name for name in found if not name.startswith("__")) == sorted(tensors)
        for name, array in tensors.items():
            assert found[name].dtype == array.dtype
            np.testing.assert_array_equal(found[name], array)


def test_convert_names_its_source(bare, tmp_path):
    sha256 = hashlib.sha256(bare.read_bytes()).hexdigest()
    npresnet.convert(bare, tmp_path / "converted.npz")
    npresnet.convert(tmp_path / "converted.npz", tmp_path / "again.npz")
    load(tmp_path / "again.npz").save(tmp_path / "saved.npz")
    for name in ("converted", "again", "saved"):
        found = weights.read(tmp_path / f"{name}.npz").metadata["source"]
        assert found == {"file": "bare.npz", "sha256": sha256}, name
    with load(tmp_path / "saved.npz") as model:
        assert (model.config["source"].value, model.config["source"].note) == ("bare.npz", f"SHA-256 {sha256}")


@pytest.mark.skipif(os.name == "nt", reason="Windows deletes no file that is mapped")
def test_save_tells_no_hash_of_a_file_that_has_changed(bare, tmp_path):
    model = load(bare)
    bare.unlink()
    bare.write_bytes(b"another file now")
    model.save(tmp_path / "saved.npz")
    assert weights.read(tmp_path / "saved.npz").metadata["source"] == {"file": "bare.npz", "sha256": None}


def test_a_file_may_be_converted_onto_itself(bare, monkeypatch):
    with load(bare) as model:
        expected = model(batch(2))
    monkeypatch.chdir(bare.parent)
    npresnet.convert("bare.npz", bare)
    npresnet.convert(bare, bare)
    with load(bare) as model:
        np.testing.assert_array_equal(model(batch(2)), expected)
        assert model.config["bn_eps"].origin == "file"


@pytest.mark.skipif(os.name == "nt", reason="Windows replaces no file that is mapped")
def test_save_onto_the_file_that_was_loaded(bare):
    with load(bare) as model:
        expected = model(batch(2))
        model.save(bare)
        np.testing.assert_array_equal(model(batch(2)), expected)
        np.testing.assert_array_equal(model.features(batch(2), ["linear"])["linear"], expected)
    with load(bare) as model:
        np.testing.assert_array_equal(model(batch(2)), expected)


def test_nothing_is_overwritten_on_failure(bare, tmp_path, monkeypatch):
    target = tmp_path / "target.npz"
    target.write_bytes(b"precious")
    (tmp_path / "broken.pth").write_bytes(b"PK\x03\x04 no zip")
    with pytest.raises(npresnet.CheckpointError):
        npresnet.convert(tmp_path / "broken.pth", target)
    with pytest.raises(npresnet.ArchitectureError):
        npresnet.convert(bare, target, labels=["one"])

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full_disk)
    for write in (lambda: npresnet.convert(bare, target), lambda: load(bare).save(target)):
        with pytest.raises(npresnet.CheckpointError, match="No space left"):
            write()
    assert target.read_bytes() == b"precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bare.npz", "broken.pth", "target.npz"]


def test_a_foreign_network_is_refused_with_its_file_s_name(tmp_path):
    path = tmp_path / "foreign.npz"
    weights.write_npz(path, {"w": np.ones(3)}, {})
    for take in (lambda: load(path), lambda: npresnet.convert(path, tmp_path / "new.npz")):
        with pytest.raises(npresnet.ArchitectureError, match=r"foreign\.npz: the tensors are no ResNet"):
            take()
    assert not (tmp_path / "new.npz").exists()


@pytest.mark.parametrize("name", ["", "a\0.npz"])
def test_names_of_no_file_are_not_written(bare, name):
    for write in (lambda: npresnet.convert(bare, name), lambda: load(bare).save(name)):
        with pytest.raises(npresnet.CheckpointError, match=r"give a name such as resnet18\.npz"):
            write()


@pytest.mark.parametrize("name", ["weights", "weights.pth", "weights.npz.bak"])
def test_only_npz_is_written(bare, tmp_path, name):
    for write in (lambda: npresnet.convert(bare, tmp_path / name), lambda: load(bare).save(tmp_path / name)):
        with pytest.raises(npresnet.CheckpointError, match=r"does not end in \.npz"):
            write()
    assert not (tmp_path / name).exists()


# --- metadata --------------------------------------------------------------------------------------------------------


def spoiled(metadata: dict, **changes) -> dict:
    """The metadata with some entries changed; `None` stands for left out."""
    return {name: value for name, value in {**metadata, **changes}.items() if value is not None}


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"version": "1"},
        {"config": None},
        {"config": []},
        {"config": {"arch": ARCH}},
        {"config": {"arch": {"value": ARCH}}},
        {"preprocess": "V1"},
        {"preprocess": {"size": 3}},
        {"preprocess": {"std": [0, 0, 0]}},
        {"labels": "abcdefghij"},
        {"labels": [1, 2, 3]},
        {"source": None},
        {"source": {"file": "x"}},
    ],
    ids=str,
)
def test_damaged_metadata(tmp_path, bare, tensors, changes):
    npresnet.convert(bare, bare)
    weights.write_npz(tmp_path / "spoiled.npz", tensors, spoiled(weights.read(bare).metadata, **changes))
    with pytest.raises(npresnet.CheckpointError, match=r"spoiled\.npz.*again"):
        load(tmp_path / "spoiled.npz")


@pytest.mark.parametrize(
    ("name", "value"),
    [("num_classes", 7), ("layers", [9, 9, 9]), ("arch", "resnet50"), ("bn_eps", "small"), ("max_pool", 3)],
)
def test_metadata_that_lies_is_refused(tmp_path, bare, tensors, name, value):
    npresnet.convert(bare, bare)
    metadata = weights.read(bare).metadata
    metadata["config"][name] = {"value": value, "origin": "inferred", "note": ""}
    weights.write_npz(tmp_path / "lying.npz", tensors, metadata)
    with pytest.raises(npresnet.ArchitectureError):
        load(tmp_path / "lying.npz")


def test_somebody_else_s_metadata_is_left_alone(tmp_path, tensors):
    weights.write_npz(tmp_path / "other.npz", tensors, {"format": "pt", "config": 3})
    with load(tmp_path / "other.npz") as model:
        assert model.config["arch"].origin == "inferred"


def test_more_classes_than_memory_holds():
    with pytest.raises(npresnet.DeviceError, match="num_classes=1000000000000 needs more memory"):
        npresnet.build("resnet18", num_classes=10**12)
