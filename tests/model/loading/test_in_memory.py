"""`load`, `convert` and `read_state_dict` take bytes, binary files and arrays by name, and decide as from the file."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile

import numpy as np
import pytest

import npresnet
from npresnet.model.finding import DEMO
from tests.support.loaded import load
from tests.support.small import batch, picture

RUNTIME = ("device", "threads")


@pytest.fixture
def saved(tmp_path):
    """A file that npresnet wrote, whose labels and preprocessing are its own."""
    path = tmp_path / "own.npz"
    how = {"preset": "cifar10", "bgr": True}
    npresnet.build("cifar_resnet20", num_classes=3, labels=["ant", "bee", "cow"], preprocess=how, threads=1).save(path)
    return path


def in_memory(path):
    raw = path.read_bytes()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(path.name, raw)
    yield raw
    yield bytearray(raw)
    yield open(path, "rb")  # noqa: SIM115
    yield io.BytesIO(raw)
    yield zipfile.ZipFile(packed).open(path.name)  # noqa: SIM115
    yield dict(np.load(path))
    yield np.load(path)


@pytest.mark.parametrize("model", ["saved", "demo"])
def test_every_decision_is_that_of_the_file(model, saved):
    path = saved if model == "saved" else DEMO
    with load(path) as expected:
        images = [picture(seed) for seed in range(3)]
        logits = [prediction.logits for prediction in expected.predict(images)]
        for source in in_memory(path):
            with load(source) as found:
                assert dict(found.config) == dict(expected.config)
                assert found.labels == expected.labels
                np.testing.assert_array_equal([p.logits for p in found.predict(images)], logits)


def test_arguments_count_beside_arrays(bare, tensors):
    arguments = {"labels": list("abcdefghij"), "preprocess": {"resize": 40}, "shortcut": "A"}
    with load(bare, **arguments) as expected, load(tensors, **arguments) as found:
        assert found.labels == expected.labels
        assert found.preprocess(picture()).shape == expected.preprocess(picture()).shape
        assert found.config["preprocess"] == expected.config["preprocess"]
        np.testing.assert_array_equal(found(batch(2)), expected(batch(2)))


def test_read_only_arrays_of_the_model_are_those_given(tensors):
    arrays = {name: np.array(array) for name, array in tensors.items()}
    for array in arrays.values():
        array.flags.writeable = False
    with load(arrays, shortcut="A") as model:
        used = [array for node in model.network for array in node.params.values()]
        assert any(np.shares_memory(array, arrays["conv1.weight"]) for array in used)
        assert all(np.shares_memory(model._tensors[name], array) for name, array in arrays.items())
    with load(arrays, copy=True, shortcut="A") as model:
        assert not any(np.shares_memory(model._tensors[name], array) for name, array in arrays.items())


def test_the_model_does_not_change_with_arrays_that_are_written_into(tensors):
    arrays = {name: np.array(array) for name, array in tensors.items()}
    with load(arrays, shortcut="A") as model:
        for array in arrays.values():
            array[...] = 0
        with load(tensors, shortcut="A") as expected:
            np.testing.assert_array_equal(model(batch(1)), expected(batch(1)))


def test_weights_in_memory_have_no_prepared_weights(saved):
    with load(saved.read_bytes()) as model:
        assert model._executables._backend._content is None
    with open(saved, "rb") as file, load(file) as model:
        assert model._executables._backend._content is not None


def test_a_published_name_of_a_stream_tells_what_a_file_s_does(bare):
    stream = io.BytesIO(bare.read_bytes())
    stream.name = "weights/resnet20-12fca82f.th"
    named = bare.rename(bare.with_name("resnet20-12fca82f.th"))
    with load(stream) as found, load(named) as expected:
        assert found.config["shortcut"] == expected.config["shortcut"]
        assert repr(found) == repr(expected)


def test_repr_names_what_it_was_loaded_from(bare, tensors):
    for source, name in (
        (bare.read_bytes(), "<bytes>"),
        (tensors, "<arrays>"),
        (io.BytesIO(bare.read_bytes()), "<BytesIO>"),
    ):
        with load(source, shortcut="A") as model:
            assert f"from {name}>" in repr(model)
            assert model.config["source"].value == name


def test_convert(saved, tmp_path):
    whole = npresnet.convert(saved, tmp_path / "file.npz").read_bytes()
    with load(saved) as expected:
        for source in in_memory(saved):
            target = npresnet.convert(source, tmp_path / "converted.npz")
            assert target.read_bytes() == whole
            with load(target) as found:
                assert found.labels == expected.labels
                np.testing.assert_array_equal(found(batch(1)), expected(batch(1)))
        with open(saved, "rb") as file:
            npresnet.convert(file, saved)
        with load(saved) as found:
            np.testing.assert_array_equal(found(batch(1)), expected(batch(1)))


def test_what_is_converted_from_bytes_says_their_hash(bare, tmp_path):
    for source in (bare.read_bytes(), io.BytesIO(bare.read_bytes())):
        target = npresnet.convert(source, tmp_path / "hash.npz", shortcut="A")
        said = json.loads(str(np.load(target)["__npresnet__"]))["source"]
        assert said["sha256"] == hashlib.sha256(bare.read_bytes()).hexdigest()


def test_read_state_dict(bare):
    expected = npresnet.read_state_dict(bare)
    for source in in_memory(bare):
        np.testing.assert_equal(npresnet.read_state_dict(source), expected)


async def body():
    return b""


def generator():
    yield b""


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (body, r"got a coroutine, .*await it"),
        (generator, "got a generator"),
        (lambda: 5, "got int"),
        (lambda: None, "got NoneType"),
        (lambda: [b""], "got list"),
        (lambda: np.zeros(3), "got ndarray"),
        (lambda: generator, "got a function; call it"),
    ],
)
def test_what_is_neither(make, words):
    source = make()
    with pytest.raises(
        npresnet.CheckpointError, match=f"expected a weight file's path or bytes, a binary file object, .*{words}"
    ):
        load(source)
    if hasattr(source, "close"):
        source.close()


def test_a_torch_module_and_its_state_dict():
    torch = pytest.importorskip("torch")
    module = torch.nn.Conv2d(3, 4, 3)
    with pytest.raises(npresnet.CheckpointError, match=r"got a torch Module; load takes \{k: v\.cpu\(\)\.numpy\(\)"):
        load(module)
    with pytest.raises(npresnet.CheckpointError, match=r"\{k: v\.cpu\(\)\.numpy\(\)"):
        load(module.state_dict())


def test_prepare_takes_files_alone(bare):
    for source in (bare.read_bytes(), {}):
        with pytest.raises(npresnet.CheckpointError, match="expected the path of a weight file"):
            npresnet.prepare(source)
