"""bgr=True: arrays in OpenCV's order. They are turned exactly once, whatever order the network itself reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import npresnet
from tests.support.clips import frames, tiny_file
from tests.support.small import ARCH, picture


@pytest.fixture(scope="module", params=["a network of RGB", "of BGR by its file", "of BGR by the caller"])
def network(request, tmp_path_factory):
    """A model, and whether its network reads blue, green, red."""
    reads_bgr = request.param != "a network of RGB"
    path = tmp_path_factory.mktemp("bgr") / "w.npz"
    from_file = {"bgr": True} if request.param == "of BGR by its file" else {}
    npresnet.build(ARCH, num_classes=10, threads=2, **from_file).save(path)
    more = {"bgr": True} if request.param == "of BGR by the caller" else {}
    with npresnet.load(path, threads=2, **more) as model:
        assert model._preprocess.bgr is reads_bgr
        yield model


def turned(image):
    """As OpenCV has it."""
    return np.ascontiguousarray(image[..., [2, 1, 0, 3][: image.shape[-1]]])


def test_a_frame_gives_what_its_picture_gives(network):
    image = picture(1)
    expected = network.predict(Image.fromarray(image))
    assert not np.array_equal(network.predict(turned(image)).logits, expected.logits)
    np.testing.assert_array_equal(network.predict(turned(image), bgr=True).logits, expected.logits)
    np.testing.assert_array_equal(network.embed(turned(image), bgr=True), network.embed(image))
    np.testing.assert_array_equal(network.preprocess(turned(image), bgr=True), network.preprocess(image))
    np.testing.assert_array_equal(network.cam(turned(image), bgr=True), network.cam(image))


def test_several_frames(network):
    images = [picture(seed, height=30 + seed) for seed in range(5)]
    expected = [prediction.logits for prediction in network.predict(images)]
    given = [turned(image) for image in images]
    np.testing.assert_array_equal([p.logits for p in network.predict(given, bgr=True, batch_size=2)], expected)
    streamed = list(network.stream(iter(given), bgr=True, batch_size=2))
    np.testing.assert_array_equal([p.logits for _, p in streamed], expected)
    assert all(source is image for (source, _), image in zip(streamed, given, strict=True))
    np.testing.assert_array_equal(network.preprocess(given, bgr=True), network.preprocess(images))
    np.testing.assert_array_equal(network.embed(given, bgr=True), network.embed(images))
    np.testing.assert_array_equal(network.cam(given, bgr=True), network.cam(images))


def test_alpha_stays_where_it_is_and_grey_has_no_order(network):
    image = np.dstack([picture(2), np.full((40, 48), 7, np.uint8)])
    np.testing.assert_array_equal(network.preprocess(turned(image), bgr=True), network.preprocess(image))
    for grey in (picture(3)[:, :, 0], picture(3)[:, :, :1]):
        np.testing.assert_array_equal(network.preprocess(grey, bgr=True), network.preprocess(grey))
    floats = (picture(4) / 255).astype(np.float32)
    np.testing.assert_array_equal(network.preprocess(turned(floats), bgr=True), network.preprocess(floats))


def test_the_frame_is_not_changed(network):
    frame = picture(5)
    before = frame.copy()
    network.predict(frame, bgr=True)
    np.testing.assert_array_equal(frame, before)


def test_torch_tensors(model):
    torch = pytest.importorskip("torch")
    image = picture(6)
    given = torch.from_numpy(turned(image))
    np.testing.assert_array_equal(model.preprocess(given, bgr=True), model.preprocess(image))
    with pytest.raises(npresnet.ImageError, match="requires grad"):
        model.preprocess(torch.zeros(4, 4, 3, requires_grad=True), bgr=True)


@pytest.mark.parametrize("kind", ["a path", "a Path", "bytes", "a file object", "a PIL image", "a dict"])
def test_what_knows_its_order_is_refused(model, kind, tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(picture()).save(path)
    with open(path, "rb") as file:
        source = {
            "a path": str(path),
            "a Path": Path(path),
            "bytes": path.read_bytes(),
            "a file object": file,
            "a PIL image": Image.fromarray(picture()),
            "a dict": {"bytes": path.read_bytes(), "path": None},
        }[kind]
        words = r"bgr=True is about arrays, .* is loaded with bgr=True instead"
        with pytest.raises(npresnet.ImageError, match=words):
            model.predict(source, bgr=True)
        with pytest.raises(npresnet.ImageError, match=rf"image 1 of the list|^{words}"):
            model.predict([picture(), source], bgr=True)


def test_arrays_that_are_no_images_are_refused_as_ever(model):
    for bad in (np.zeros((3, 32, 40), np.uint8), np.zeros((2, 32, 40, 3), np.uint8), np.zeros((9, 9, 3))[None, None]):
        with pytest.raises(npresnet.ImageError) as without:
            model.preprocess(bad)
        with pytest.raises(npresnet.ImageError) as caught:
            model.preprocess(bad, bgr=True)
        assert str(caught.value) == str(without.value)


def test_clips(tmp_path):
    how = {"resize": (40, 48), "crop": 32, "antialias": False}
    with npresnet.load(tiny_file(tmp_path), threads=1, preprocess=how) as model:
        clip = np.stack([np.asarray(frame) for frame in frames()])
        expected = model.predict(clip).logits
        for given in (turned(clip), [turned(frame) for frame in clip]):
            np.testing.assert_array_equal(model.predict(given, bgr=True).logits, expected)
        column = np.empty(len(clip), object)
        column[:] = [turned(frame) for frame in clip]
        for prediction in model.predict(iter([turned(clip), column]), bgr=True):
            np.testing.assert_array_equal(prediction.logits, expected)
