"""Image inputs: one or a list, preprocessed and predicted in order; errors name the image."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

import npresnet
from tests.support.small import ARCH, batch, picture, write_pictures

RGB = (224, 96, 32)


def test_predict_is_preprocess_then_run(model, tmp_path):
    (path,) = write_pictures(tmp_path, 1)
    prediction = model.predict(path)
    np.testing.assert_array_equal(prediction.logits, model(model.preprocess(path))[0])
    assert prediction.label == model.labels[prediction.index]
    assert len(prediction.top) == 5
    assert prediction.elapsed_ms > 0


def test_every_kind_of_image(model, tmp_path):
    (path,) = write_pictures(tmp_path, 1)
    data = (tmp_path / "000.png").read_bytes()
    sources = [path, tmp_path / "000.png", data, io.BytesIO(data), Image.open(path), picture(0)]
    expected = model.predict(path).logits
    for source in sources:
        np.testing.assert_array_equal(model.predict(source).logits, expected)
    sources[3].seek(0)
    for prediction in model.predict(sources, batch_size=4):
        np.testing.assert_array_equal(prediction.logits, expected)


def test_a_damaged_pil_image_is_an_image_error(model, tmp_path):
    """Detecting that it is a single image must not load it."""
    (path,) = write_pictures(tmp_path, 1)
    data = (tmp_path / "000.png").read_bytes()
    closed = Image.open(path)
    closed.close()
    for broken in (Image.open(io.BytesIO(data[: len(data) // 2])), closed):
        for use in (model.predict, model.embed):
            with pytest.raises(npresnet.ImageError):
                use(broken)
        ((_, found),) = model.stream(broken)
        assert isinstance(found, npresnet.ImageError)


@pytest.mark.parametrize("batch_size", [1, 2, 7, 32])
def test_a_list_gives_a_list_in_order(model, tmp_path, batch_size):
    paths = write_pictures(tmp_path, 7)
    alone = [model.predict(path).logits for path in paths]
    for given in (paths, tuple(paths), iter(paths), (path for path in paths)):
        found = model.predict(given, batch_size=batch_size)
        assert isinstance(found, list)
        np.testing.assert_array_equal([prediction.logits for prediction in found], alone)


def test_the_same_image_twice_in_a_list(model, tmp_path):
    (path,) = write_pictures(tmp_path, 1)
    image = Image.open(path)  # loads its file on first use, which must not happen in two threads concurrently
    first, second = model.predict([image, image])
    np.testing.assert_array_equal(first.logits, second.logits)


def test_an_empty_list_gives_an_empty_list(model):
    assert model.predict([]) == []


def test_top(model):
    assert [len(model.predict(picture(), top=top).top) for top in (1, 3, 10, 11, 1000)] == [1, 3, 10, 10, 10]
    assert [len(prediction.top) for prediction in model.predict([picture()], top=2)] == [2]


@pytest.mark.parametrize("wrong", [{"top": 0}, {"top": -1}, {"top": 1.5}, {"top": True}, {"batch_size": 0}])
def test_invalid_counts_are_refused(model, wrong):
    for images in ([picture()], [], picture()):
        with pytest.raises(ValueError, match="must be an integer >= 1"):
            model.predict(images, **wrong)


@pytest.mark.parametrize("wrong", [0, -1, 2.5, True, "8", None])
def test_batch_sizes_are_refused_alike_for_one_image_and_for_several(model, wrong):
    for images in (picture(), [picture()], []):
        for use in (model.predict, model.embed):
            with pytest.raises(npresnet.ShapeError, match="batch_size must be an integer >= 1, got"):
                use(images, batch_size=wrong)


def test_images_of_different_sizes_run_together_without_a_crop():
    with npresnet.build(ARCH, num_classes=10, threads=2, preprocess={"resize": None, "crop": None}) as model:
        images = [picture(seed, height=24 + 8 * (seed % 3), width=32) for seed in range(7)]
        alone = [model.predict(image).logits for image in images]
        together = [prediction.logits for prediction in model.predict(images, batch_size=5)]
        np.testing.assert_array_equal(together, alone)


def test_an_invalid_image_in_a_list_is_named(model, tmp_path):
    paths = write_pictures(tmp_path, 3)
    (tmp_path / "broken.png").write_bytes((tmp_path / "000.png").read_bytes()[:60])
    with pytest.raises(npresnet.ImageError, match=r"broken\.png"):
        model.predict([*paths, tmp_path / "broken.png"])
    with pytest.raises(npresnet.ImageError, match="image 1 of the list"):
        model.predict([paths[0], picture().astype(np.float32) + np.nan])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused(model, value):
    image = picture().astype(np.float32) / 255
    model.predict(image)
    image[3, 4, 1] = value
    with pytest.raises(npresnet.ImageError, match="NaN or infinity"):
        model.predict(image)


@pytest.mark.parametrize("image", [batch(1), np.zeros((2, 32, 32, 3), np.uint8), 3, None])
def test_other_types_are_refused(model, image):
    with pytest.raises(npresnet.ImageError):
        model.predict(image)


def test_preprocess_is_the_preset(model):
    x = model.preprocess(np.full((50, 70, 3), RGB, np.uint8))
    assert (x.shape, x.dtype) == ((1, 3, 32, 32), np.float32)
    mean, std = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
    np.testing.assert_array_equal(x[0, :, 7, 9], (np.array(RGB, np.float32) / np.float32(255) - mean) / std)
