"""`Prediction.source`: the path that a prediction was made of, and never the image."""

from __future__ import annotations

import gc
import io
import pickle
import weakref
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import npresnet
from tests.support.clips import frames, tiny_file, write_frames
from tests.support.small import picture, write_pictures


@pytest.fixture
def path(tmp_path):
    (found,) = write_pictures(tmp_path, 1)
    return found


def cases(path):
    """(image, its source), anew for each use."""
    content = Path(path).read_bytes()
    file = io.BytesIO(content)
    named = io.BytesIO(content)
    named.name = "upload.png"
    return [
        (path, path),
        (Path(path), Path(path)),
        (open(path, "rb"), path),
        (named, "upload.png"),
        (Image.open(path), path),
        ({"bytes": content, "path": "row.png"}, "row.png"),
        ({"bytes": content, "path": None}, None),
        (file, None),
        (content, None),
        (picture(), None),
        (Image.fromarray(picture()), None),
    ]


def test_every_kind_of_image(model, path):
    expected = [source for _, source in cases(path)]
    assert [model.predict(image).source for image, _ in cases(path)] == expected
    assert [p.source for p in model.predict([image for image, _ in cases(path)])] == expected
    assert [p.source for _, p in model.stream(image for image, _ in cases(path))] == expected


def test_values_of_pyarrow(model, path):
    pyarrow = pytest.importorskip("pyarrow")
    row = pyarrow.scalar({"bytes": Path(path).read_bytes(), "path": "row.png"})
    assert [model.predict(one).source for one in (pyarrow.scalar(path), row)] == [path, "row.png"]


def test_files_of_a_folder(model, path):
    assert [p.source for _, p in model.stream(str(Path(path).parent))] == [path]


def test_no_image_is_kept(model):
    image = picture().copy()
    array, opened = weakref.ref(image), Image.fromarray(image)
    kept = weakref.ref(opened)
    predictions = [model.predict(image), *model.predict([image, opened])]
    del image, opened
    gc.collect()
    assert array() is None
    assert kept() is None
    assert len(predictions) == 3


def test_it_survives_pickling(model, path):
    assert pickle.loads(pickle.dumps(model.predict(path))).source == path


def test_clips(tmp_path):
    how = {"resize": (40, 48), "crop": 32, "antialias": False}
    write_frames(tmp_path / "clip", frames())
    with npresnet.load(tiny_file(tmp_path), threads=1, preprocess=how) as model:
        assert model.predict(str(tmp_path / "clip")).source == str(tmp_path / "clip")
        assert model.predict(sorted(map(str, (tmp_path / "clip").iterdir()))).source is None
        assert model.predict(np.stack([np.asarray(frame) for frame in frames()])).source is None
