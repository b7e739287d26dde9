"""Images through an emulated GPU: the float32 path's very numbers, whatever the batches, and errors in their places."""

from __future__ import annotations

import gc
import io

import numpy as np
import pytest
from PIL import Image

import npresnet
from npresnet import cuda
from npresnet.cuda import executable as executables
from npresnet.model.prediction import Prediction
from npresnet.system import threads
from tests.cuda.conftest import gpus
from tests.emulator import emulator
from tests.emulator.cupy_streams import Event
from tests.model.test_concurrency import run_concurrently
from tests.support.small import picture, write_pictures

__all__ = ["gpus"]
pytestmark = emulator.needed

SMALL = {"resize": 8, "crop": 8}  # pixels, which an emulator has soon computed


@pytest.fixture
def model(gpus):
    gpus()
    with small_model() as model:
        yield model


def small_model(**how) -> npresnet.Model:
    """A network of eight layers."""
    return npresnet.build("cifar_resnet8", num_classes=10, device="cuda", **{"threads": 2, "preprocess": SMALL, **how})


def float_logits(model: npresnet.Model, sources: list) -> np.ndarray:
    """Of images normalised on the CPU."""
    return np.concatenate([model(model.preprocess(source)) for source in sources])


def assert_same(found: list[Prediction], logits: np.ndarray) -> None:
    np.testing.assert_array_equal(np.stack([prediction.logits for prediction in found]), logits)
    for prediction in found:
        again = Prediction(prediction.logits, prediction.labels, prediction.top_k)
        assert [c.index for c in prediction.top] == [c.index for c in again.top]
        np.testing.assert_allclose(prediction.probabilities, again.probabilities, rtol=1.2e-7)
        assert prediction.score == prediction.probabilities[prediction.index]


def test_the_float32_path_s_very_numbers_at_every_batch_size(model, tmp_path):
    paths = write_pictures(tmp_path / "pictures", 7)
    right = float_logits(model, paths)
    for size in (1, 2, 3, 32):
        assert_same(model.predict(paths, batch_size=size, top=3), right)
    assert_same([model.predict(paths[3])], right[3:4])
    found = dict(model.stream(tmp_path / "pictures", batch_size=4))
    assert list(found) == paths
    assert_same(list(found.values()), right)
    assert model.predict([]) == []
    assert list(model.stream([])) == []


@pytest.mark.parametrize("classes", [1, 3])
def test_sigmoids_are_the_host_s(gpus, tmp_path, classes):
    """The kernel that ranks computes a softmax, so it is not asked."""
    gpus()
    paths = write_pictures(tmp_path / "pictures", 3)
    how = {"num_classes": classes, "scores": "sigmoid", "preprocess": SMALL, "labels": ["a", "b", "c"][: classes + 1]}
    with npresnet.build("cifar_resnet8", device="cuda", **how) as model:
        found = [*model.predict(paths, top=2), model.predict(paths[0]), *dict(model.stream(paths)).values()]
        right = float_logits(model, [*paths, paths[0], *paths])
    for prediction, logits in zip(found, right, strict=True):
        again = Prediction(logits, how["labels"], prediction.top_k, scores="sigmoid")
        assert prediction.to_dict() == again.to_dict()
        np.testing.assert_array_equal(prediction.probabilities, again.probabilities)
        assert (
            prediction.score == pytest.approx(1 / (1 + np.exp(-float(np.abs(logits).max()))), rel=1e-6) or classes > 1
        )


def test_every_source(model):
    """Floats in 0..1 as well: on both paths they become pixels first."""
    grey, colour = picture(1)[..., 0], picture(2)
    file = io.BytesIO()
    Image.fromarray(colour).save(file, "PNG")
    sources = [colour, colour / 255, grey, Image.fromarray(colour).convert("RGBA"), file.getvalue(), colour / 777]
    assert_same(model.predict(sources), float_logits(model, sources))


def test_images_of_different_sizes_in_a_batch(gpus, tmp_path):
    gpus()
    sizes = [(8, 8), (12, 8), (8, 8), (9, 13), (12, 8)]
    sources = [picture(seed, height=height, width=width) for seed, (height, width) in enumerate(sizes)]
    with small_model(preprocess={"resize": None, "crop": None}) as model:
        assert_same(model.predict(sources, batch_size=4), float_logits(model, sources))


def test_grey_networks(gpus):
    gpus()
    how = {**SMALL, "mean": [0.4], "std": [0.3]}
    network = small_model(in_channels=1, preprocess=how)
    sources = [picture(1), picture(2)[..., 0]]
    assert_same(network.predict(sources), float_logits(network, sources))


def test_embeddings(model, tmp_path):
    sources = [picture(seed) for seed in range(3)]
    right = np.stack([model.features(model.preprocess(x), ["avgpool"])["avgpool"].reshape(-1) for x in sources])
    np.testing.assert_array_equal(model.embed(sources, batch_size=2), right)
    np.testing.assert_array_equal(model.embed(sources[1]), right[1])
    assert model.embed([]).shape == (0, right.shape[1])


def test_more_images_than_go_at_once(model, monkeypatch):
    monkeypatch.setattr(executables, "MOST_IMAGES", 3)
    sources = [picture(seed) for seed in range(7)]
    assert_same(model.predict(sources), float_logits(model, sources))


def test_an_image_that_cannot_be_read_keeps_its_place(model, tmp_path):
    paths = write_pictures(tmp_path, 5)
    (tmp_path / "002.png").write_text("no image")
    found = dict(model.stream(paths, batch_size=2))
    assert list(found) == paths
    assert isinstance(found.pop(paths[2]), npresnet.ImageError)
    assert_same(list(found.values()), float_logits(model, list(found)))
    with pytest.raises(npresnet.ImageError, match="002"):
        model.predict(paths)
    with pytest.raises(npresnet.ImageError, match="002"):
        model.predict(paths[2])


def test_a_network_without_preprocessing_says_so(gpus):
    gpus()
    with npresnet.build("cifar_resnet20", in_channels=5, device="cuda") as network:
        for call in (network.predict, network.embed, lambda x: network.predict([x])):
            with pytest.raises(npresnet.ShapeError, match=r"expects images of 5 channels.*pass arrays to model\(x\)"):
                call(picture())


def test_the_next_batch_is_uploaded_before_results_are_waited_for(model, monkeypatch):
    done: list[str] = []
    upload, synchronize = cuda.Gpu.upload, Event.synchronize
    sources = [picture(seed) for seed in range(6)]
    model.predict(sources, batch_size=2)
    monkeypatch.setattr(cuda.Gpu, "upload", lambda *args: (done.append("upload"), upload(*args))[1])
    monkeypatch.setattr(Event, "synchronize", lambda event: (done.append("wait"), synchronize(event))[1])
    model.predict(sources, batch_size=2)
    assert done == ["upload", "upload", "wait", "upload", "wait", "wait"]


def test_two_threads_at_once(model, tmp_path):
    paths = write_pictures(tmp_path, 5)
    right = float_logits(model, paths)
    run_concurrently(
        [
            lambda: assert_same(model.predict(paths, batch_size=2), right),
            lambda: assert_same([found for _, found in model.stream(paths[::-1], batch_size=3)], right[::-1]),
            lambda: np.testing.assert_array_equal(model(model.preprocess(paths[1])), right[1:2]),
        ]
    )


@pytest.mark.parametrize(("status", "words"), [(1, "fails: cudaErrorInvalidValue"), (700, "has failed .*restart it")])
def test_a_gpu_that_fails_in_the_middle_raises_after_what_was_computed_before(gpus, tmp_path, status, words):
    stand_in, paths = gpus(), write_pictures(tmp_path / "pictures", 6)
    with small_model() as model:
        right = float_logits(model, paths)
        stream, found = model.stream(paths, batch_size=2), []
        found.append(next(stream)[1])  # the second batch is on its way
        stand_in.failures.plan("launch graph", status)
        with pytest.raises(npresnet.DeviceError, match=words):
            found.extend(result for _, result in stream)
        if status == 1:
            assert_same(found, right[:4])
            assert_same(model.predict(paths), right)
        else:  # nor does anything come back of the second batch
            assert_same(found, right[:2])
            with pytest.raises(npresnet.DeviceError, match=words):
                model.predict(paths)
    assert stand_in.failures.noise == []


def test_what_an_iterable_raises_comes_after_its_images(model):
    def sources():
        for seed in range(5):
            yield picture(seed)
        raise OSError("the disk is gone")

    found = []
    with pytest.raises(OSError, match="the disk is gone"):
        found.extend(result for _, result in model.stream(sources(), batch_size=2))
    assert_same(found, float_logits(model, [picture(seed) for seed in range(5)]))


@pytest.mark.parametrize("end", ["stopped", "interrupted", "closed"])
def test_who_stops_early_leaves_nothing_behind(gpus, monkeypatch, tmp_path, end):
    stand_in = gpus()
    paths = write_pictures(tmp_path / "pictures", 8)
    model = small_model()
    stream = model.stream(paths, batch_size=2)
    next(stream)
    if end == "interrupted":
        with monkeypatch.context() as patch:
            patch.setattr(Event, "synchronize", _interrupt)
            with pytest.raises(KeyboardInterrupt):
                list(stream)
    elif end == "closed":
        model.close()
        with pytest.raises(npresnet.DeviceError, match="closed"):
            list(stream)
    stream.close()
    assert "npresnet-read" not in threads.running()
    model.close()
    del model, stream
    gc.collect()
    assert stand_in.gpus[0].used == 0


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_too_little_memory_for_a_batch(gpus):
    stand_in = gpus()
    sources = [picture(seed) for seed in range(32)]
    with small_model() as model:
        right = float_logits(model, sources[:2])
        assert_same(model.predict(sources[:2], batch_size=1), right)
        stand_in.gpus[0].memory_bytes = stand_in.gpus[0].used + 100_000
        with pytest.raises(npresnet.DeviceError, match=r"a batch of 32 images .* takes .* MB"):
            model.predict(sources)
        assert_same(model.predict(sources[:2], batch_size=2), right)


def test_times_have_their_parts(model):
    first, _ = model.predict([picture(0), picture(1)])
    parts = npresnet.model.prediction.parts_ms_of(first)
    assert list(parts) == ["decoding", "preparing", "upload", "gpu", "download"]
    assert parts["gpu"] == 0.5  # two events of the stand-in are 1 ms apart, and there are two images
    assert first.elapsed_ms == sum(parts.values())


def test_networks_that_read_blue_first(gpus, tmp_path):
    gpus()
    paths = write_pictures(tmp_path / "pictures", 3)
    with small_model(bgr=True) as model:
        assert model.config["preprocess"].value["bgr"] is True
        assert_same(model.predict(paths), float_logits(model, paths))


def test_arrays_in_opencv_s_order_and_where_predictions_come_from(model, tmp_path):
    images = [picture(seed, height=20) for seed in range(3)]
    right = float_logits(model, images)
    frames = [np.ascontiguousarray(image[:, :, ::-1]) for image in images]
    assert_same(model.predict(frames, bgr=True, batch_size=2), right)
    assert_same([model.predict(frames[1], bgr=True)], right[1:2])
    np.testing.assert_array_equal(model.embed(frames, bgr=True), model.embed(images))
    (path,) = write_pictures(tmp_path / "pictures", 1)
    found = [model.predict(path), *model.predict([path, images[0], {"bytes": None, "path": path}])]
    assert [prediction.source for prediction in found] == [path, path, None, path]
