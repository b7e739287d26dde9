"""`preprocess` and `cam` of several images: what each gives alone, in order."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import npresnet
from tests.support.clips import frames, tiny_file
from tests.support.small import ARCH, picture, write_pictures


@pytest.fixture
def images(tmp_path):
    """Of all kinds, of several sizes."""
    paths = write_pictures(tmp_path, 7, height=37)
    return [*paths, picture(8, width=61), Image.fromarray(picture(9)), {"bytes": None, "path": paths[0]}]


def test_preprocess(model, images):
    expected = np.concatenate([model.preprocess(image) for image in images])
    assert expected.shape == (10, 3, 32, 32)
    for several in (images, tuple(images), iter(images), np.array(images, object)):
        found = model.preprocess(several)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(model(model.preprocess(images)), [p.logits for p in model.predict(images)])


def test_cam(model, images):
    for index in (None, 3):
        expected = [model.cam(image, index) for image in images]
        found = model.cam(images, index)
        assert isinstance(found, list)
        np.testing.assert_array_equal(found, expected)
    (one,) = model.cam(images[:1])
    assert one.shape == (32, 32)


def test_none(model):
    assert model.preprocess([]).shape == (0, 3, 32, 32)
    assert model.cam([]) == []
    assert model(model.preprocess([])).shape == (0, 10)


@pytest.mark.parametrize("method", ["preprocess", "cam"])
def test_an_image_that_cannot_be_read_is_named(model, images, method):
    function = getattr(model, method)
    with pytest.raises(npresnet.ImageError, match=r"^missing\.png does not exist"):
        function([images[0], "missing.png"])
    with pytest.raises(
        npresnet.ImageError, match=r"image 2 of the list \(the first is 0\): .*cannot be read from float"
    ):
        function([*images[:2], 1.5])
    with pytest.raises(npresnet.ImageError, match=r"image 1 of the list .*cannot be read from list"):
        function([images[0], [images[1]]])


def test_cam_with_an_index_out_of_range(model, images):
    with pytest.raises(npresnet.ArchitectureError, match="class index 10 is out of range"):
        model.cam(images, 10)


def test_inputs_of_several_sizes_are_no_array():
    with npresnet.build(ARCH, threads=1, preprocess={"resize": None, "crop": None}) as model:
        small, large = picture(height=33), picture(height=40)
        assert model.preprocess([small, small]).shape == (2, 3, 33, 48)
        with pytest.raises(npresnet.ImageError, match=r"must have one size.*\(3, 33, 48\), \(3, 40, 48\).*give a crop"):
            model.preprocess([small, large])
        assert [heat.shape for heat in model.cam([small, large])] == [(33, 48), (40, 48)]


def test_clips(tmp_path):
    how = {"resize": (40, 48), "crop": 32, "antialias": False}
    with npresnet.load(tiny_file(tmp_path), threads=1, preprocess=how) as model:
        clip = list(frames())
        one = model.preprocess(clip)
        assert one.ndim == 5
        np.testing.assert_array_equal(model.preprocess([clip, clip[::-1]])[0], one[0])
        assert model.preprocess([clip, clip]).shape == (2, *one.shape[1:])
