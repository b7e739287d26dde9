"""Paths and images in arrays of one axis and in columns of tables are several images, as in a list."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import npresnet
from tests.support.clips import frames, tiny_file, write_frames
from tests.support.small import picture, write_pictures


class Dtype:
    """pandas' own dtypes have a kind, as NumPy's have; those of polars have none."""

    def __init__(self, kind):
        if kind:
            self.kind = kind


class Column:
    """What a column of a table has, whoever makes the table."""

    def __init__(self, values, kind="O"):
        self.values, self.shape, self.dtype = values, (len(values),), Dtype(kind)

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, object)

    def __iter__(self):
        return iter(self.values)

    def __len__(self):
        return len(self.values)


def objects(values):
    array = np.empty(len(values), object)
    array[:] = values
    return array


@pytest.fixture
def paths(tmp_path):
    return write_pictures(tmp_path, 3)


def columns(values):
    return [np.array(values), objects(values), Column(values), Column(values, None), np.array(values)[::-1][::-1]]


def test_columns_of_paths(model, paths):
    expected = [prediction.logits for prediction in model.predict(paths)]
    for source in columns(paths):
        found = model.predict(source, batch_size=2)
        np.testing.assert_array_equal([prediction.logits for prediction in found], expected)
        np.testing.assert_array_equal(model.embed(source), model.embed(paths))
        streamed = list(model.stream(source))
        assert [str(path) for path, _ in streamed] == paths
        np.testing.assert_array_equal([prediction.logits for _, prediction in streamed], expected)


def test_columns_of_other_images(model, paths):
    expected = [prediction.logits for prediction in model.predict(paths)]
    contents = [open(path, "rb").read() for path in paths]  # noqa: SIM115
    for values in (contents, [Image.open(path) for path in paths], [picture(seed) for seed in range(3)]):
        found = model.predict(objects_of(values))
        np.testing.assert_array_equal([prediction.logits for prediction in found], expected)


def objects_of(values):
    array = np.empty(len(values), object)
    for place, value in enumerate(values):
        array[place] = value
    return array


def test_one_path_of_an_array(model, paths):
    array = np.array(paths)
    expected = model.predict(paths[0]).logits
    for one in (array[0], np.array(paths[0])):
        np.testing.assert_array_equal(model.predict(one).logits, expected)


def test_empty_columns(model):
    for source in (np.array([], "U5"), np.array([], object), Column([])):
        assert model.predict(source) == []


def test_a_missing_value_is_named_by_its_place(model, paths):
    for bad in (float("nan"), None):
        with pytest.raises(npresnet.ImageError, match=r"image 1 of the list .*cannot be read from (float|NoneType)"):
            model.predict(Column([paths[0], bad]))


def test_tables_and_arrays_of_pixels_are_none(model, paths):
    with pytest.raises(npresnet.ImageError, match=r"shape \(3, 1\).*holds no pixels; .*as a list: array.ravel"):
        model.predict(np.array(paths)[:, np.newaxis])
    with pytest.raises(npresnet.ImageError, match="has 1 axes"):
        model.predict(np.zeros(100, np.uint8))
    with pytest.raises(npresnet.ImageError, match="has 1 axes"):
        model.predict(np.zeros(100, np.float32))


def test_pandas_columns(model, paths):
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"path": paths})
    expected = [prediction.index for prediction in model.predict(paths)]
    for source in (table["path"], table["path"].astype("category"), table["path"].astype("string"), table.path[1:]):
        assert [prediction.index for prediction in model.predict(source)] == expected[-len(source) :]
    with pytest.raises(npresnet.ImageError, match="as a list"):
        model.predict(table)


def test_clips(tmp_path):
    """An array of a clip's frames is one clip, as a list of them is."""
    how = {"resize": (40, 48), "crop": 32, "antialias": False}
    with npresnet.load(tiny_file(tmp_path), threads=1, preprocess=how) as model:
        write_frames(tmp_path / "clip", frames())
        paths = sorted(map(str, (tmp_path / "clip").iterdir()))
        expected = model.predict(paths).logits
        for source in (np.array(paths), objects(paths), Column(paths)):
            np.testing.assert_array_equal(model.predict(source).logits, expected)
        np.testing.assert_array_equal(model.preprocess(np.array(paths)), model.preprocess(paths))
