"""Paths and images in arrays of one axis and in columns of tables are several images, as in a list."""

from __future__ import annotations

import numpy as np
import pandas
import pyarrow
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
    for source in (np.array([], "U5"), np.array([], object), np.array([]), Column([])):
        assert model.predict(source) == []


def test_a_missing_value_is_named_by_its_place(model, paths):
    for bad in (float("nan"), None):
        with pytest.raises(npresnet.ImageError, match=r"image 1 of the list .*cannot be read from (float|NoneType)"):
            model.predict(Column([paths[0], bad]))


def test_tables_and_arrays_of_pixels_are_none(model, paths):
    with pytest.raises(npresnet.ImageError, match=r"shape \(3, 1\).*holds no pixels; .*as a list: array.ravel"):
        model.predict(np.array(paths)[:, np.newaxis])
    with pytest.raises(npresnet.ImageError, match=r"cannot hold images; pass a list of bytes, .*array\.astype\(str\)"):
        model.predict(np.array([b"a.png", b"b.png"]))
    with pytest.raises(npresnet.ImageError, match=r"has one axis; .*array.tobytes\(\)"):
        model.predict(np.zeros(100, np.uint8))
    with pytest.raises(npresnet.ImageError, match="has 1 axes"):
        model.predict(np.zeros(100, np.float32))


def test_pandas_columns(model, paths):
    table = pandas.DataFrame({"path": paths})
    expected = [prediction.index for prediction in model.predict(paths)]
    for source in (table["path"], table["path"].astype("category"), table["path"].astype("string"), table.path[1:]):
        assert [prediction.index for prediction in model.predict(source)] == expected[-len(source) :]
    with pytest.raises(npresnet.ImageError, match=r"from a table; pass one of its columns, table\['path'\]"):
        model.predict(table)


def test_pandas_index_and_missing_values(model, paths):
    expected = [prediction.logits for prediction in model.predict(paths)]
    table = pandas.DataFrame({"path": paths, "label": 0}).set_index("path")
    np.testing.assert_array_equal([p.logits for p in model.predict(table.index)], expected)
    for dtype, missing in (("str", float("nan")), ("string", pandas.NA), ("object", None)):
        column = pandas.Series([paths[0], missing, paths[2]], dtype=dtype)
        with pytest.raises(
            npresnet.ImageError, match=r"image 1 of the list .*cannot be read from \w+(, a missing value| \()"
        ):
            model.predict(column)
        found = [result for _, result in model.stream(column)]
        np.testing.assert_array_equal([found[0].logits, found[2].logits], [expected[0], expected[2]])
        assert isinstance(found[1], npresnet.ImageError)


# --- bytes, and Hugging Face's dicts ---------------------------------------------------------------------------------


def content_of(path):
    with open(path, "rb") as file:
        return file.read()


def tables_of_images(paths):
    """Columns and lists of what data sets hold: bytes, and bytes with paths."""
    contents = [content_of(path) for path in paths]
    both = [{"bytes": content, "path": f"{n}.png"} for n, content in enumerate(contents)]
    yield pandas.DataFrame({"image": contents})["image"]
    yield pandas.Series(contents, dtype=pandas.ArrowDtype(pyarrow.binary()))
    yield objects_of(contents)
    yield pyarrow.array(contents)
    yield pyarrow.chunked_array([contents[:1], contents[1:]])
    yield pyarrow.table({"image": contents})["image"]
    yield list(pyarrow.array(contents))
    yield both
    yield tuple(both)
    yield iter(both)
    yield [{"bytes": None, "path": path} for path in paths]
    yield [{"bytes": content} for content in contents]
    yield [{"path": path} for path in paths]
    yield pandas.DataFrame({"image": both})["image"]
    yield objects_of(both)
    yield pyarrow.array(both)
    yield pyarrow.chunked_array([both])
    yield pandas.Series(pandas.arrays.ArrowExtensionArray(pyarrow.array(both)))
    yield Column(both, None)


def test_bytes_and_dicts(model, paths):
    expected = [prediction.logits for prediction in model.predict(paths)]
    for number, (source, again) in enumerate(zip(tables_of_images(paths), tables_of_images(paths), strict=True)):
        found = model.predict(source, batch_size=2)
        np.testing.assert_array_equal([p.logits for p in found], expected, err_msg=str(number))
        streamed = [result.logits for _, result in model.stream(again)]
        np.testing.assert_array_equal(streamed, expected, err_msg=str(number))


def test_one_dict_is_one_image(model, paths):
    expected = model.predict(paths[1])
    for source in ({"bytes": content_of(paths[1]), "path": None}, {"bytes": None, "path": paths[1]}):
        np.testing.assert_array_equal(model.predict(source).logits, expected.logits)
        np.testing.assert_array_equal(model.preprocess(source), model.preprocess(paths[1]))
        np.testing.assert_array_equal(model.embed(source), model.embed(paths[1]))
    assert model.predict({"bytes": content_of(paths[1]), "path": "a/b.png"}).source == "a/b.png"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"bytes": b"noise", "path": "row 5.png"}, r"^row 5\.png is not an image"),
        ({"bytes": b"", "path": "row 6.png"}, r"^row 6\.png is empty \(0 bytes\)"),
        ({"bytes": b"<html>", "path": None}, r"^the image in 6 bytes is an HTML page"),
        ({"bytes": None, "path": "missing.png"}, r"^missing\.png does not exist"),
        ({"bytes": None, "path": None}, r"whose bytes and path are both empty"),
        ({"image": 1, "label": 2}, r"a dict with 'image' \(int\), 'label' \(int\); pass the entry .* row\['image'\]"),
        ({"bytes": 3, "path": 4.5}, r"a dict with 'bytes' \(int\), 'path' \(float\)"),
        ({}, "a dict with no keys"),
    ],
)
def test_dicts_that_hold_no_image(model, source, words):
    with pytest.raises(npresnet.ImageError, match=words):
        model.predict(source)
    ((_, error),) = model.stream([source])
    assert isinstance(error, npresnet.ImageError)


def test_columns_of_numbers_are_no_images(model):
    for column in (pyarrow.array([1, 2]), pandas.Series([1, 2]).astype(object), objects([1, 2])):
        with pytest.raises(npresnet.ImageError, match="cannot be read from int"):
            model.predict(column)


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
