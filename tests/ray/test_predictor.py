"""Predictor on batches, without a cluster: columns in, rows out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import npresnet
from npresnet.errors import ArchitectureError, DeviceError, ImageError
from npresnet.ray import Predictor, cluster, weights
from npresnet.ray.cluster import agreed, default_cpus, places
from npresnet.ray.table import COLUMNS, schema
from tests.support.small import ARCH, picture, write_pictures


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> str:
    file = tmp_path_factory.mktemp("model") / "seven.npz"
    with npresnet.build(ARCH, num_classes=7, labels=[f"class {i}" for i in range(7)], seed=3) as model:
        model.save(file)
    return str(file)


def column(values) -> np.ndarray:
    made = np.empty(len(values), object)
    made[:] = values
    return made


def expected(path: str, images, top: int) -> list[dict]:
    with npresnet.load(path) as model:
        return [result.to_dict() for result in model.predict(images, top=top)]


def without(rows: list[dict], *names: str) -> list[dict]:
    return [{name: value for name, value in row.items() if name not in names} for row in rows]


def test_bytes(path, tmp_path):
    files = write_pictures(tmp_path, 3, height=37, width=61)
    contents = [*(Path(file).read_bytes() for file in files), b"GIF89a, cut short"]
    batch = {"bytes": column(contents), "path": column([*files, "cut.gif"]), "id": np.arange(4)}
    found = Predictor(path, top=2)(batch)
    assert found.column_names == ["id", *COLUMNS]
    assert found.drop_columns(["id"]).schema == schema()
    rows = found.to_pylist()
    assert [row["id"] for row in rows] == [0, 1, 2, 3]
    assert [row["path"] for row in rows] == [*files, "cut.gif"]
    assert without(rows[:3], "path", "error", "id") == expected(path, files, 2)
    assert without(rows[3:], "path", "error", "id") == [{"index": None, "label": None, "score": None, "top": None}]
    assert "cut short"[:3] in rows[3]["error"] or "GIF" in rows[3]["error"] or "truncated" in rows[3]["error"]
    assert [row["error"] for row in rows[:3]] == [None] * 3


FORMATS = {
    "pandas": lambda batch: pd.DataFrame({name: list(values) for name, values in batch.items()}),
    "a table": lambda batch: pa.table({name: arrow_column(values) for name, values in batch.items()}),
    "a record batch": lambda batch: pa.RecordBatch.from_pydict(
        {name: arrow_column(values) for name, values in batch.items()}
    ),
}


def arrow_column(values):
    """With pictures of one size as a tensor, as Ray has them."""
    if values.ndim == 1:
        return pa.array(values)
    return pa.FixedShapeTensorArray.from_numpy_ndarray(values)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("source", ["bytes", "image"])
def test_batches_of_other_formats(source, kind, path, tmp_path):
    files = write_pictures(tmp_path, 3)
    images = [Path(file).read_bytes() for file in files]
    if source == "image":
        images = [picture(seed) for seed in range(3)]
    values = column(images) if source == "bytes" else np.stack(images)
    batch = {"path": column(files), source: values, "id": np.arange(3, dtype=np.int16)}
    predictor = Predictor(path, top=2)
    assert predictor(FORMATS[kind](batch)) == predictor(batch)
    with pytest.raises(ImageError, match="this one has 'path', 'id'"):
        predictor(FORMATS[kind]({name: values for name, values in batch.items() if name != source}))


@pytest.mark.parametrize("kind", ["one size", "several sizes", "a read-only tensor"])
def test_arrays(kind, path):
    sizes = {"several sizes": [(40, 48), (33, 70), (80, 20)]}.get(kind, [(40, 48)] * 3)
    images = [picture(seed, height=height, width=width) for seed, (height, width) in enumerate(sizes)]
    values = column(images) if kind == "several sizes" else np.stack(images)
    values.flags.writeable = kind != "a read-only tensor"
    found = Predictor(path)({"image": values})
    assert found.column_names == [name for name in COLUMNS if name != "path"]
    assert without(found.to_pylist(), "error") == expected(path, images, 5)


def test_a_batch_whose_images_all_fail_has_the_same_types(path):
    found = Predictor(path)({"bytes": column([b"", None])})
    assert found.schema == pa.schema([schema().field(name) for name in COLUMNS if name != "path"])
    assert all(row["error"] and row["label"] is None for row in found.to_pylist())


def test_an_empty_batch(path):
    assert Predictor(path)({"bytes": column([])}).num_rows == 0


def test_columns_that_are_missing_or_would_be_lost(path):
    predictor = Predictor(path)
    with pytest.raises(ImageError, match=r"needs a column 'bytes'.*this one has 'picture'"):
        predictor({"picture": column([b""])})
    with pytest.raises(ImageError, match=r"'label' are called as Predictor's results.*rename_columns"):
        predictor({"bytes": column([b""]), "label": column(["truth"])})


def test_other_columns_of_several_axes_are_kept(path):
    found = Predictor(path)({"image": np.stack([picture(1)] * 2), "box": np.arange(8).reshape(2, 4)})
    assert found["box"].to_pylist() == [[0, 1, 2, 3], [4, 5, 6, 7]]


@pytest.mark.parametrize("kind", ["uint8", "float32", "float16", "int64", "bool", "datetime64[s]"])
def test_other_columns_keep_the_type_of_their_numbers(kind, path):
    values = np.arange(12).reshape(2, 2, 3).astype(kind)
    found = Predictor(path)({"image": np.stack([picture(1)] * 2), "x": values, "y": values[:, 0, 0]})
    assert found["x"].type == pa.list_(pa.list_(pa.from_numpy_dtype(values.dtype)))
    assert found["y"].type == pa.from_numpy_dtype(values.dtype)
    assert found["x"].to_pylist() == values.tolist()


def test_a_worker_of_another_version_is_refused():
    with pytest.raises(DeviceError, match=r"a worker has npresnet .*, and six\.npz was put by 0\.0\.7: .*same version"):
        weights.opened(weights.Weights(None, "six.npz", "ab", "0.0.7"))


@pytest.mark.parametrize(
    ("granted", "options", "expected"),
    [
        ({"CPU": 2.0}, {}, {"threads": 2}),
        ({"CPU": 0.5}, {}, {"threads": 1}),
        ({}, {}, {"threads": 1}),
        ({"CPU": 3.0}, {"threads": 5, "arch": None}, {"threads": 5}),
        ({"CPU": 1.0, "GPU": 0.25}, {"dtype": "float16"}, {"threads": 1, "device": "cuda", "dtype": "float16"}),
        ({"CPU": 1.0, "GPU": 1.0}, {"device": "cpu"}, {"threads": 1, "device": "cpu"}),
        (None, {"fast": True, "threads": None}, {"fast": True}),
    ],
)
def test_threads_and_device_are_what_ray_grants(granted, options, expected, monkeypatch):
    monkeypatch.setattr(cluster, "granted", lambda: granted)
    assert agreed(options) == expected


def nodes(*resources: dict) -> list[dict]:
    return [{"Resources": found} for found in resources]


def test_how_many_workers_fit():
    assert default_cpus(nodes({"CPU": 64.0}, {"CPU": 2.0}, {"CPU": 0.0}, {})) == 2
    assert default_cpus(nodes({"CPU": 64.0})) == cluster.MOST_CPUS
    assert places(nodes({"CPU": 7.0}, {"CPU": 3.0}), 2, 0) == 4
    assert places(nodes({"CPU": 8.0, "GPU": 3.0}, {"CPU": 64.0}), 2, 1) == 3
    assert places(nodes({"CPU": 8.0, "GPU": 1.0}), 1, 0.25) == 4
    with pytest.raises(DeviceError, match="4 CPUs and 1 GPUs; they have 8 CPUs, 0 GPUs"):
        places(nodes({"CPU": 8.0}), 4, 1)


def test_what_a_model_depends_on_is_in_its_fingerprint(path):
    plain = weights.fingerprint(weights.read(path))
    with npresnet.load(path) as model:
        assert weights.fingerprint(weights.read(model)) == plain
    others = [
        weights.read(path, labels=list("abcdefg")),
        weights.read(path, preprocess={"resize": 50}),
        weights.read(npresnet.build(ARCH, num_classes=7, labels=[f"class {i}" for i in range(7)], seed=4)),
    ]
    assert len({plain, *map(weights.fingerprint, others)}) == 4


def test_models_that_cannot_be_used():
    with npresnet.build(ARCH, num_classes=3) as model:
        with pytest.raises(ArchitectureError, match=r"npresnet.ray.put\(model\) returns, got a Model"):
            Predictor(model)
        with pytest.raises(ArchitectureError, match="a Model has decided"):
            weights.read(model, labels=["a", "b", "c"])
    with npresnet.build("r3d_18", num_classes=3) as clips, pytest.raises(ArchitectureError, match="takes clips"):
        weights.read(clips)
