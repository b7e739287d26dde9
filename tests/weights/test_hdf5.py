"""HDF5 in Keras's layouts, written by h5py, and files that are damaged or hostile."""

from __future__ import annotations

import builtins
import io
import json
import random
import re
import zipfile

import numpy as np
import pytest

from npresnet import weights
from npresnet.errors import CheckpointError

h5py = pytest.importorskip("h5py")

KERNEL = np.arange(24, dtype="f4").reshape(2, 2, 3, 2)
ARRAYS = {
    "stem_conv.kernel": KERNEL,
    "stem_conv.bias": np.float32([1, 2]),
    **{f"stem_bn.{role}": np.float32([i, 7]) for i, role in enumerate(("gamma", "beta", "moving_mean"))},
    "stem_bn.moving_variance": np.float32([3, 4]),
    "top.kernel": np.ones((2, 5), "f4"),
}
CLASSES = {"stem_conv": "Conv2D", "stem_bn": "BatchNormalization", "top": "Dense"}
SNAKES = {"stem_conv": "conv2d", "stem_bn": "batch_normalization", "top": "dense"}


def hdf5(write, **options) -> bytes:
    raw = io.BytesIO()
    with h5py.File(raw, "w", **options) as file:
        write(file)
    return raw.getvalue()


def keras_2(file, prefix: str = "", **options) -> None:
    for name, array in ARRAYS.items():
        layer, role = name.split(".")
        file.create_dataset(f"{prefix}{layer}/{layer}/{role}:0", data=array, **options)


def keras_3(file, *, named: bool = True) -> None:
    places: dict[str, int] = {}
    for name, array in ARRAYS.items():
        layer = name.split(".")[0]
        group = file.require_group(f"layers/{SNAKES[layer]}/vars")
        if named:
            group.attrs["name"] = layer
        group[str(places.setdefault(layer, 0))] = array
        places[layer] += 1


def archive(**members: bytes) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as file:
        for name, data in members.items():
            file.writestr(name.replace("_", "."), data)
    return raw.getvalue()


LAYERS = [{"class_name": kind, "config": {"name": name}} for name, kind in CLASSES.items()]
CONFIG = json.dumps({"class_name": "Functional", "config": {"layers": LAYERS}}).encode()
FILES = {
    "weights of Keras 2": hdf5(keras_2),
    "a model of Keras 2": hdf5(lambda file: keras_2(file, "model_weights/")),
    "a model inside another": hdf5(lambda file: keras_2(file, "resnet50/")),
    "compressed": hdf5(lambda file: keras_2(file, compression="gzip", shuffle=True, fletcher32=True)),
    "weights of Keras 3": hdf5(keras_3),
    "a user block": hdf5(keras_2, userblock_size=512),
    ".keras": archive(model_weights_h5=hdf5(keras_3)),
    ".keras of the first releases": archive(
        config_json=CONFIG, model_weights_h5=hdf5(lambda file: keras_3(file, named=False))
    ),
}


@pytest.mark.parametrize("kind", [kind for kind in FILES if kind != "a user block"])
def test_layouts(folder, kind):
    found = weights.read(folder.write(FILES[kind]))
    assert found.container == ("keras" if kind.startswith(".keras") else "h5")
    assert set(found.tensors) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert np.array_equal(found.tensors[name], array), name
        assert not found.tensors[name].flags.writeable


def test_a_file_that_does_not_begin_with_its_signature(folder):
    with pytest.raises(CheckpointError, match="unknown file format"):
        weights.read(folder.write(FILES["a user block"]))


def test_an_optimizers_variables_are_left_out(folder):
    def write(file):
        keras_2(file)
        file["optimizer_weights/Adam/m:0"] = np.ones(3, "f4")

    assert set(weights.read_state_dict(folder.write(hdf5(write)))) == set(ARRAYS)


def test_without_h5py(folder, monkeypatch):
    usual = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "h5py":
            raise ModuleNotFoundError(name=name)
        return usual(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    path = folder.write(FILES["weights of Keras 2"])
    told = rf"^{re.escape(str(path))}: an HDF5 .* h5py, which is not installed: .* pip install 'npresnet\[keras\]'$"
    with pytest.raises(CheckpointError, match=told):
        weights.read(path)


def other_file(file):
    file.create_dataset("a/b/c", (4,), "f4", external=[("/etc/passwd", 0, 16)])


def virtual(file):
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", shape=(4,))
    file.create_virtual_dataset("a/b/c", layout)


def many_bytes(file):
    file.create_dataset("a/b/c", (1 << 40,), "f4", chunks=(1 << 20,))


def twice(file):
    file["a/layer/kernel"] = KERNEL
    file["b/layer/kernel"] = KERNEL


def unusual_filter(file):
    file.create_dataset("a/b/c", data=KERNEL, compression="lzf")


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (other_file, "another file"),
        (virtual, "another file"),
        (many_bytes, "far more memory"),
        (twice, "two variables"),
        (unusual_filter, "filters"),
    ],
)
def test_hostile_files(folder, write, reason):
    with pytest.raises(CheckpointError, match=reason):
        weights.read(folder.write(hdf5(write)))


def test_links_are_not_followed_and_cycles_end(folder):
    def write(file):
        keras_2(file)
        file["soft"] = h5py.SoftLink("/stem_conv")
        file["elsewhere"] = h5py.ExternalLink("/etc/passwd", "/")
        file["stem_conv/again"] = file["/"]

    found = weights.read(folder.write(hdf5(write)))
    assert set(found.tensors) == set(ARRAYS)
    assert sum("link to elsewhere" in note for note in found.notes) == 2


@pytest.mark.parametrize("kind", ["weights of Keras 2", ".keras", ".keras of the first releases"])
def test_damaged_files(folder, kind):
    raw, rng, causes = FILES[kind], random.Random(kind), []
    for _ in range(60):
        damaged = bytearray(raw[: rng.randrange(len(raw))] if rng.random() < 0.3 else raw)
        for _ in range(rng.randrange(1, 6) if damaged else 0):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        try:
            weights.read(folder.write(bytes(damaged) or b"\0"))
        except CheckpointError as error:
            causes.append(type(error.__cause__))
    assert len(causes) > 10
    assert not {TypeError, AttributeError, NameError, AssertionError} & set(causes)
