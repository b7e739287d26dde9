"""`numpy.seterr(all="raise")` and `filterwarnings("error")` in the caller's program change no result."""

from __future__ import annotations

import io
import threading
import warnings

import numpy as np
import pytest
from PIL import Image

import npresnet
from npresnet import cpu, images, ops
from npresnet.views import cam, grid, overlay
from tests.support import any_node
from tests.support.small import batch, picture, write_pictures


@pytest.fixture
def strict():
    """Everything raises, in this thread."""
    with np.errstate(all="raise"), warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def extremes(shape: tuple[int, ...]) -> np.ndarray:
    """float32 of every size: sums overflow, exponentials underflow, squares do both."""
    values = np.array([1e-42, -1e-38, 3e-20, 1, -90, 105, 1e19, -3e38], np.float32)
    return np.random.default_rng(0).permutation(np.resize(values, int(np.prod(shape)))).reshape(shape)


@pytest.mark.parametrize("scores", ["softmax", "sigmoid"])
@pytest.mark.parametrize("logits", [[300, -300, 0], [np.inf, 0, 1], [np.nan, 1, 2], [3e38, -3e38, 1e-45], [-800]])
def test_scores(strict, logits, scores):
    prediction = npresnet.Prediction(np.array(logits, np.float32), scores=scores)
    with np.errstate(all="ignore"):
        expected = npresnet.Prediction(np.array(logits, np.float32), scores=scores)
        found = expected.probabilities, str(expected.top)
    np.testing.assert_array_equal(prediction.probabilities, found[0])
    assert str(prediction.top) == found[1]


@pytest.mark.parametrize("op", any_node.CASES)
def test_every_operation(strict, op):
    """In both interpreters, NaN and infinities included: what it gives without these settings."""
    network = any_node.network_of(op)
    x = extremes((2, *any_node.shape_for(network)))
    with np.errstate(all="ignore"):
        expected = ops.run(network, x)["y"], cpu.compile(network, threads=2)(x)["y"]
    np.testing.assert_array_equal(ops.run(network, x)["y"], expected[0])
    np.testing.assert_array_equal(cpu.compile(network, threads=2)(x)["y"], expected[1])


def test_the_slow_softmax(strict):
    assert ops.softmax(np.array([0, -800.0])).tolist() == [1, 0]


def test_a_whole_model(strict, tmp_path):
    with np.errstate(all="ignore"):
        calm = npresnet.build("cifar_resnet20", num_classes=7, seed=3, threads=2)
        paths = write_pictures(tmp_path, 3)
        calm.save(tmp_path / "calm.npz")
        expected = [prediction.probabilities.tobytes() for prediction in calm.predict(paths)]
    model = npresnet.load(tmp_path / "calm.npz", threads=2)
    assert [prediction.probabilities.tobytes() for prediction in model.predict(paths)] == expected
    assert [prediction.probabilities.tobytes() for _, prediction in model.stream(paths)] == expected
    assert model.predict(paths[0]).probabilities.tobytes() == expected[0]
    assert model.embed(paths).shape == (3, 64)
    heat = model.cam(paths[0])
    assert overlay.cam(images.cropped(paths[0], "cifar10"), heat).shape == (32, 32, 3)
    assert grid.draw_page([(images.cropped(path), path) for path in paths]).size[0] > 0
    assert np.isfinite(model.features(batch(1), ["layer1"])["layer1"]).all()
    model.save(tmp_path / "again.npz")


def test_weights_and_images_at_the_ends_of_float32(strict, tmp_path):
    """Scales that underflow and statistics that overflow when they are folded; pixels that overflow when cast."""
    with np.errstate(all="ignore"):
        calm = npresnet.build("cifar_resnet20", num_classes=4, threads=2)
        tensors = dict(npresnet.read_state_dict(saved(calm, tmp_path / "calm.npz")))
        for name in tensors:
            if "running" in name or "bn" in name or "fc" in name:
                tensors[name] = (
                    np.abs(extremes(tensors[name].shape)) if "var" in name else extremes(tensors[name].shape)
                )
        np.savez(tmp_path / "wild.npz", **tensors)
        x = extremes((2, 3, 32, 32))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = npresnet.load(tmp_path / "wild.npz", threads=2)(x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", npresnet.AmbiguityWarning)
        model = npresnet.load(tmp_path / "wild.npz", threads=2)
    np.testing.assert_array_equal(model(x), expected)
    np.testing.assert_array_equal(ops.run(model.network, x)["logits"].shape, expected.shape)
    model(x.astype(np.float64) * 1e30)
    model.cam(picture())
    cam.activation_map(extremes((5, 4, 4)), extremes((5,)), 9, 9)


def saved(model: npresnet.Model, path):
    model.save(path)
    return path


def remarkable_tiff() -> bytes:
    """A picture whose decoder warns: a tag of one value has two."""
    file = io.BytesIO()
    Image.fromarray(picture()).save(file, "TIFF", tiffinfo={})
    data = bytearray(file.getvalue())
    start = int.from_bytes(data[4:8], "little")
    for entry in range(int.from_bytes(data[start : start + 2], "little")):
        place = start + 2 + 12 * entry
        if int.from_bytes(data[place : place + 2], "little") == 259:  # compression: one short, inline
            data[place + 4 : place + 8] = (2).to_bytes(4, "little")
    return bytes(data)


def test_pillows_warnings_do_not_refuse_a_picture(tmp_path, model):
    data = remarkable_tiff()
    with pytest.warns(UserWarning, match="too many entries"):
        Image.open(io.BytesIO(data))
    path = tmp_path / "remarkable.tiff"
    path.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = model.predict(data).logits
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("error")
        before = list(warnings.filters)
        found = [model.predict(data), *model.predict([data, path] * 8), *dict(model.stream([str(path)] * 4)).values()]
        assert warnings.filters == before
    np.testing.assert_array_equal([prediction.logits for prediction in found], [expected] * len(found))
    assert all("PIL" in str(warning.filename) for warning in heard)


def test_threads_that_read_leave_the_filters_as_they_were(model):
    data, errors = remarkable_tiff(), []

    def work():
        try:
            for _ in range(20):
                images.read(data)
        except BaseException as error:
            errors.append(error)

    with warnings.catch_warnings(record=True):
        warnings.simplefilter("error")
        before = list(warnings.filters)
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert warnings.filters == before
    assert errors == []
