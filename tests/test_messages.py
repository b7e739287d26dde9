"""No message has more than 1,000 characters, whatever it quotes; its beginning and the way out at its end stay."""

from __future__ import annotations

import json
import pickle
import warnings

import numpy as np
import pytest
from PIL import Image

import npresnet
from npresnet import errors
from npresnet.model.finding import DEMO
from tests.support.small import batch, picture, shared_model

LONG = "x" * 50_000
ODD = "\x1b[31m\n" * 9_000
CLASSES = [getattr(errors, name) for name in dir(errors) if name.endswith(("Error", "Warning"))]


@pytest.mark.parametrize("kind", CLASSES)
def test_the_middle_is_left_out(kind):
    text = "the beginning, " + LONG + ", the way out"
    message = str(kind(text))
    assert len(message) <= errors.MAX_MESSAGE
    assert message.startswith("the beginning, xxx")
    assert message.endswith("xxx, the way out")
    assert " characters left out ...] " in message
    assert str(kind(message)) == message
    assert str(pickle.loads(pickle.dumps(kind(text)))) == message


@pytest.mark.parametrize("kind", CLASSES)
def test_others_stay_as_they_are(kind):
    for arguments in ((), ("short",), ("y" * errors.MAX_MESSAGE,), ("one", 2)):
        assert kind(*arguments).args == arguments


def written(tmp_path, name, content=b"noise"):
    path = tmp_path / name
    path.write_bytes(content)
    return path


def npz(tmp_path, **arrays):
    np.savez(tmp_path / "w.npz", **arrays)
    return tmp_path / "w.npz"


def own(tmp_path, **changes):
    """A file that npresnet wrote, with other metadata."""
    path = tmp_path / "own.npz"
    npresnet.build("cifar_resnet20", num_classes=3).save(path)
    arrays = dict(np.load(path))
    metadata = json.loads(str(arrays["__npresnet__"])) | changes
    return {**arrays, "__npresnet__": json.dumps(metadata)}


MANY = {f"{LONG[:300]}.{n}.weight": np.zeros((2, 2), np.float32) for n in range(300)}
ERRORS = {
    "a file's name": lambda model, folder: npresnet.load(LONG),
    "a file's name of control characters": lambda model, folder: npresnet.load(ODD + ".npz"),
    "a folder's name": lambda model, folder: npresnet.load(f"{LONG}/w.pth"),
    "an architecture": lambda model, folder: npresnet.build(LONG),
    "a device": lambda model, folder: npresnet.load("demo", device=LONG),
    "a dtype": lambda model, folder: npresnet.load("demo", dtype=LONG),
    "an option": lambda model, folder: npresnet.load("demo", **{LONG: 1}),
    "an option's value": lambda model, folder: npresnet.load("demo", stride_on=LONG),
    "an option's list": lambda model, folder: npresnet.build("resnet50", replace_stride_with_dilation=[LONG] * 9),
    "threads": lambda model, folder: npresnet.load("demo", threads=LONG),
    "labels": lambda model, folder: npresnet.load("demo", labels=[LONG] * 3),
    "a label file's name": lambda model, folder: npresnet.load("demo", labels=LONG),
    "a label file": lambda model, folder: npresnet.load("demo", labels=written(folder, "l.json", ODD.encode())),
    "preprocess": lambda model, folder: npresnet.load("demo", preprocess=LONG),
    "preprocess's field": lambda model, folder: npresnet.load("demo", preprocess={LONG: 1}),
    "preprocess's value": lambda model, folder: npresnet.load("demo", preprocess={"mean": [0.5] * 9_000}),
    "a key": lambda model, folder: npresnet.load("demo", key=LONG),
    "a destination": lambda model, folder: npresnet.convert("demo", LONG),
    "a destination's folder": lambda model, folder: npresnet.convert("demo", f"{LONG}/x.npz"),
    "tensors of other networks": lambda model, folder: npresnet.load(MANY),
    "one tensor": lambda model, folder: npresnet.load(npz(folder, **{LONG[:200]: np.zeros((1,) * 30)})),
    "an entry": lambda model, folder: npresnet.load({LONG: object()}),
    "a dtype of an array": lambda model, folder: npresnet.load({"w": np.zeros(2, object), LONG: 1}),
    "a stored format": lambda model, folder: npresnet.load(own(folder, version=LONG)),
    "stored labels": lambda model, folder: npresnet.load(own(folder, labels=[LONG] * 7)),
    "stored preprocessing": lambda model, folder: npresnet.load(own(folder, preprocess={LONG: LONG})),
    "stored decisions": lambda model, folder: npresnet.load(own(folder, config={LONG: LONG})),
    "bytes": lambda model, folder: npresnet.load(LONG.encode()),
    "text as bytes": lambda model, folder: npresnet.load(b"{" + ODD.encode()),
    "an image's name": lambda model, folder: model.predict(LONG),
    "an image's name of control characters": lambda model, folder: model.predict(ODD),
    "an image in base64": lambda model, folder: model.predict("/9j/" + LONG),
    "an image's bytes": lambda model, folder: model.predict(LONG.encode()),
    "a picture's name": lambda model, folder: model.predict(renamed(LONG)),
    "a dict's path": lambda model, folder: model.predict({"bytes": b"noise", "path": LONG}),
    "a dict's keys": lambda model, folder: model.predict({f"{n}{LONG}": 1 for n in range(50)}),
    "a pattern": lambda model, folder: list(model.stream(f"{LONG}*")),
    "a list": lambda model, folder: model.predict([picture(), LONG]),
    "top": lambda model, folder: model.predict(picture(), top=LONG),
    "an index": lambda model, folder: model.cam(picture(), 10**4000),
    "a module": lambda model, folder: model.features(batch(1), [LONG]),
    "x as text": lambda model, folder: model(LONG),
    "x of many axes": lambda model, folder: model(np.zeros((1,) * 32, np.float32)),
    "x of another dtype": lambda model, folder: model(np.zeros(3, [(LONG[:5000], "f4")])),
    "x that is ragged": lambda model, folder: model([[1.0], [LONG]]),
    "an image of another dtype": lambda model, folder: model.predict(np.zeros((9, 9, 3), [(LONG[:5000], "f4")])),
    "a size": lambda model, folder: model.summary((10**4000, 3, 3)),
    "a pattern of architectures": lambda model, folder: npresnet.list_archs(5),
}


def renamed(name):
    image = Image.fromarray(picture())
    image.close()
    image.filename = name
    return image


@pytest.mark.parametrize("name", ERRORS)
def test_monstrous_names_paths_labels_and_shapes(name, model, tmp_path, monkeypatch):
    monkeypatch.setenv("NPRESNET_CACHE", str(tmp_path / "cache"))
    with pytest.raises(npresnet.NpresnetError) as caught:
        ERRORS[name](model, tmp_path)
    message = str(caught.value)
    assert 20 < len(message) <= errors.MAX_MESSAGE
    assert "\x1b" not in message


def test_warnings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "y" * 240 + ".npz"
    np.savez(tmp_path / name, **npresnet.read_state_dict(DEMO))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        npresnet.load(tmp_path / name, threads=1)
    assert [warning.category for warning in seen] == [npresnet.AmbiguityWarning]
    assert len(str(seen[0].message)) <= errors.MAX_MESSAGE


@pytest.fixture(scope="module")
def model():
    return shared_model()
