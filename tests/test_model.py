"""Model: what it takes, what it refuses, and that nothing it is given or gives is shared."""

from __future__ import annotations

import copy
import io
import json
import pickle

import numpy as np
import pytest
from PIL import Image

import npresnet
from npresnet import ops, weights
from tests.support.float_error import assert_as_exact_as
from tests.support.small import ARCH, batch, picture, shared_model, write_pictures

RGB = (224, 96, 32)


@pytest.fixture(scope="module")
def model():
    return shared_model()


# --- arrays in -------------------------------------------------------------------------------------------------------


def test_logits(model):
    x = batch(8)
    logits = model(x)
    assert (logits.shape, logits.dtype) == ((8, 10), np.float32)
    plain, exact = (ops.run(model.network, x.astype(dtype))["logits"] for dtype in (np.float32, np.float64))
    assert_as_exact_as(logits, plain, exact)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ">f4", "<f4", ">f8"])
def test_other_floats_are_cast(model, dtype):
    x = batch(2).astype(np.float16).astype(dtype)  # numbers that each dtype holds exactly
    np.testing.assert_array_equal(model(x), model(x.astype(np.float32)))


def test_any_strides_will_do(model):
    x = batch(3)
    wide = np.zeros((3, 3, 32, 64), np.float32)
    wide[..., ::2] = x
    views = {
        "fortran": np.asfortranarray(x),
        "channels last": np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
        "every second column": wide[..., ::2],
        "backwards": x[::-1, ::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1, ::-1],
        "one image for all": np.broadcast_to(x[:1], x.shape),
    }
    expected = model(x)
    for name, view in views.items():
        wanted = expected if name != "one image for all" else expected[[0, 0, 0]]
        np.testing.assert_array_equal(model(view), wanted, err_msg=name)


def test_the_input_is_never_changed(model):
    x = batch(2)
    before = x.copy()
    x.flags.writeable = False
    model(x)
    np.testing.assert_array_equal(x, before)


def test_results_belong_to_the_caller(model):
    x = batch(2)
    first = model(x)
    kept = first.copy()
    first[:] = 0
    features = model.features(x, ["layer1", "avgpool"])
    for array in (first, *features.values()):
        assert array.flags.owndata
        assert array.flags.writeable
        array[:] = np.nan
    np.testing.assert_array_equal(model(x), kept)


def test_no_images_give_no_rows(model):
    empty = np.zeros((0, 3, 32, 32), np.float32)
    assert model(empty).shape == (0, 10)
    assert {name: array.shape for name, array in model.features(empty, ["layer2", "avgpool"]).items()} == {
        "layer2": (0, 32, 16, 16),
        "avgpool": (0, 64, 1, 1),
    }


def test_nan_stays_in_its_image(model):
    x = batch(4)
    expected = model(x)
    x[2, 1, 5, 7] = np.nan
    logits = model(x)
    assert np.isnan(logits[2]).all()
    np.testing.assert_array_equal(logits[[0, 1, 3]], expected[[0, 1, 3]])


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.zeros((1, 3, 32, 32), np.uint8), ["uint8", "preprocess"]),
        (np.zeros((1, 3, 32, 32), np.int64), ["int64", "astype"]),
        (np.zeros((1, 3, 32, 32), np.complex64), ["complex64"]),
        (np.zeros((1, 3, 32, 32), bool), ["bool"]),
        (np.zeros((1, 3, 32, 32), object), ["object"]),
        (np.array([["a"]]), ["float32"]),
        (None, ["object"]),
        (np.float32(1), ["N, C, H, W", "got 0"]),
        (np.zeros((3, 32, 32), np.float32), ["(3, 32, 32)", "x[None]"]),
        (np.zeros((1, 1, 3, 32, 32), np.float32), ["N, C, H, W", "got 5"]),
        (
            np.zeros((1, 4, 32, 32), np.float32),
            ["conv1 expects 3 input channels, got 4", "(1, 4, 32, 32)", "(16, 3, 3, 3)", "(N, 3, H, W)"],
        ),
        (np.zeros((2, 32, 32, 3), np.float32), ["channels come second", "transpose(0, 3, 1, 2)"]),
        (np.zeros((1, 3, 0, 32), np.float32), ["at least one pixel"]),
        ([[1.0, 2.0], [3.0]], ["no array"]),
    ],
    ids=lambda value: str(getattr(value, "dtype", "")) + str(getattr(value, "shape", "")) or None,
)
def test_wrong_arrays_are_refused(model, x, words):
    with pytest.raises(npresnet.ShapeError) as caught:
        model(x)
    assert [word for word in words if word not in str(caught.value)] == []
    with pytest.raises(npresnet.ShapeError):
        model.features(x, ["layer1"])


def test_a_list_of_floats_is_an_array(model):
    x = batch(1)
    np.testing.assert_array_equal(model(x.tolist()), model(x))


def test_several_image_sizes(model):
    for size in (32, 20, 41, 32):
        assert model(batch(2, size=size)).shape == (2, 10)


# --- features and embeddings -----------------------------------------------------------------------------------------


def test_features_are_those_of_the_interpreter():
    """Layer by layer, so by direct sums: a single layer by Winograd loses more digits than a whole network shows."""
    names = ["conv1", "bn1", "layer1.0.conv2", "layer1", "layer2.1.relu", "layer3.0", "avgpool", "linear"]
    x = batch(8)
    with npresnet.build(ARCH, num_classes=10, threads=2, winograd=False) as model:
        part, found = model.network.with_outputs(names), model.features(x, names)
    assert list(found) == names
    plain, exact = (ops.run(part, x.astype(dtype)) for dtype in (np.float32, np.float64))
    for name in names:
        assert_as_exact_as(found[name], plain[name], exact[name])


def test_features_do_not_change_the_logits(model):
    x = batch(2)
    found = model.features(x, ["linear", "flatten"])
    np.testing.assert_array_equal(found["linear"], model(x))


def test_a_model_can_be_pickled_and_copied(model):
    for twin in (pickle.loads(pickle.dumps(model)), copy.copy(model), copy.deepcopy(model)):
        with twin:
            np.testing.assert_array_equal(twin(batch(2)), model(batch(2)))
            assert repr(twin) == repr(model)
            assert twin.config.to_dict() == model.config.to_dict()
        assert model(batch(1)).shape == (1, 10), "closing the other leaves this one alone"
    tensors = sum(array.nbytes for array in model._tensors.values())
    assert len(pickle.dumps(model)) < 1.2 * tensors, "the weights are pickled once"


def test_features_by_one_name_and_by_none(model):
    assert list(model.features(batch(1), "layer3")) == ["layer3"]
    assert model.features(batch(1), []) == {}


def test_an_unknown_module_is_named(model):
    with pytest.raises(npresnet.ArchitectureError, match=r"'layer9'.*conv1, bn1, relu, layer1, layer2, layer3"):
        model.features(batch(1), ["layer1", "layer9"])
    for names in ([3], [["layer1"]], [None], [("layer1",)], 3, None):
        with pytest.raises(npresnet.ArchitectureError, match="such as 'layer3'"):
            model.features(batch(1), names)


def test_embeddings(model):
    images = [picture(0), picture(1), picture(2)]
    one = model.embed(images[1])
    assert (one.shape, one.dtype) == ((64,), np.float32)
    several = model.embed(images, batch_size=2)
    assert several.shape == (3, 64)
    np.testing.assert_array_equal(several[1], one)
    np.testing.assert_array_equal(one, model.features(model.preprocess(images[1]), ["avgpool"])["avgpool"].ravel())
    assert model.embed([]).shape == (0, 64)
    with pytest.raises(npresnet.ImageError, match=r"nowhere\.png"):
        model.embed([images[0], "nowhere.png"])


# --- images in -------------------------------------------------------------------------------------------------------


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
    image = Image.open(path)  # reads its file when it is first used, which two threads must not do at once
    first, second = model.predict([image, image])
    np.testing.assert_array_equal(first.logits, second.logits)


def test_an_empty_list_gives_an_empty_list(model):
    assert model.predict([]) == []


def test_top(model):
    assert [len(model.predict(picture(), top=top).top) for top in (1, 3, 10, 11, 1000)] == [1, 3, 10, 10, 10]
    assert [len(prediction.top) for prediction in model.predict([picture()], top=2)] == [2]


@pytest.mark.parametrize("wrong", [{"top": 0}, {"top": -1}, {"top": 1.5}, {"top": True}, {"batch_size": 0}])
def test_wrong_counts_are_refused(model, wrong):
    for images in ([picture()], []):
        with pytest.raises(ValueError, match="whole number from 1 on"):
            model.predict(images, **wrong)


def test_images_of_different_sizes_run_together_without_a_crop():
    with npresnet.build(ARCH, num_classes=10, threads=2, preprocess={"resize": None, "crop": None}) as model:
        images = [picture(seed, height=24 + 8 * (seed % 3), width=32) for seed in range(7)]
        alone = [model.predict(image).logits for image in images]
        together = [prediction.logits for prediction in model.predict(images, batch_size=5)]
        np.testing.assert_array_equal(together, alone)


def test_a_bad_image_in_a_list_is_named(model, tmp_path):
    paths = write_pictures(tmp_path, 3)
    (tmp_path / "broken.png").write_bytes((tmp_path / "000.png").read_bytes()[:60])
    with pytest.raises(npresnet.ImageError, match=r"broken\.png"):
        model.predict([*paths, tmp_path / "broken.png"])
    with pytest.raises(npresnet.ImageError, match="image 1 of the list"):
        model.predict([paths[0], picture().astype(np.float32) + np.nan])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_no_image_may_hold_nan_or_infinity(model, value):
    image = picture().astype(np.float32) / 255
    model.predict(image)
    image[3, 4, 1] = value
    with pytest.raises(npresnet.ImageError, match="NaN or infinity"):
        model.predict(image)


@pytest.mark.parametrize("image", [batch(1), np.zeros((2, 32, 32, 3), np.uint8), 3, None])
def test_what_is_no_image_is_refused(model, image):
    with pytest.raises(npresnet.ImageError):
        model.predict(image)


def test_preprocess_is_the_preset(model):
    x = model.preprocess(np.full((50, 70, 3), RGB, np.uint8))
    assert (x.shape, x.dtype) == ((1, 3, 32, 32), np.float32)
    mean, std = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
    np.testing.assert_array_equal(x[0, :, 7, 9], (np.array(RGB, np.float32) / np.float32(255) - mean) / std)


# --- stream ----------------------------------------------------------------------------------------------------------


def test_stream_goes_on_after_a_bad_image(model, tmp_path):
    paths = write_pictures(tmp_path, 4)
    (tmp_path / "002.png").write_text("no image")
    found = dict(model.stream(paths, batch_size=3, top=2))
    assert list(found) == paths
    assert isinstance(found[paths[2]], npresnet.ImageError)
    assert [len(found[path].top) for path in paths if path != paths[2]] == [2, 2, 2]
    np.testing.assert_array_equal(found[paths[3]].logits, model.predict(paths[3]).logits)


def test_stream_takes_a_folder(model, tmp_path):
    paths = write_pictures(tmp_path, 3)
    (tmp_path / "notes.txt").write_text("no image")
    assert [path for path, _ in model.stream(tmp_path)] == paths
    assert [path for path, _ in model.stream([tmp_path, paths[1]])] == [*paths, paths[1]]
    assert [path for path, _ in model.stream(str(tmp_path / "*.png"))] == paths
    assert [path for path, _ in model.stream(paths[0])] == paths[:1]


def test_stream_and_what_is_not_there(model, tmp_path):
    paths = write_pictures(tmp_path / "pictures", 2)
    (tmp_path / "empty").mkdir()
    for nothing in (tmp_path / "empty", tmp_path / "missing"):
        with pytest.raises(npresnet.ImageError, match=nothing.name):
            model.stream(nothing)
        found = list(model.stream([paths[0], nothing, paths[1]]))
        assert [path for path, _ in found] == [paths[0], nothing, paths[1]]
        assert isinstance(found[1][1], npresnet.ImageError)


def test_stream_is_lazy(model):
    drawn = []

    def endless():
        while True:
            drawn.append(None)
            yield picture(len(drawn) % 3)

    stream = model.stream(endless(), batch_size=4)
    assert drawn == []
    next(stream)
    assert len(drawn) == 8  # one batch to run, one ahead
    stream.close()


def test_stream_checks_its_arguments_at_once(model):
    with pytest.raises(ValueError, match="top"):
        model.stream([], top=0)


# --- nets of other kinds ---------------------------------------------------------------------------------------------


def load_tensors(tmp_path, tensors, **options):
    path = tmp_path / "tensors.npz"
    weights.write_npz(path, tensors, {})
    return npresnet.load(path, threads=1, **options)


def test_a_network_without_classifier_embeds_and_does_not_predict(tmp_path):
    tensors = {
        n: t for n, t in npresnet.arch.random_tensors(ARCH, num_classes=10).items() if not n.startswith("linear")
    }
    with load_tensors(tmp_path, tensors) as model:
        assert model.embed(picture()).shape == (64,)
        np.testing.assert_array_equal(model(batch(2)), model.features(batch(2), ["flatten"])["flatten"])
        assert "no classifier" in repr(model)
        assert model.labels is None
        for call in (model.predict, model.stream, model.cam):
            with pytest.raises(npresnet.ArchitectureError, match=r"no classifier|class activation map"):
                call(picture())


def test_a_network_for_grey_images(tmp_path):
    tensors = npresnet.arch.random_tensors(ARCH, num_classes=10, in_channels=1)
    with load_tensors(tmp_path, tensors) as model:
        assert model(batch(2, channels=1)).shape == (2, 10)
        with pytest.raises(npresnet.ShapeError, match=r"1 channels.*preprocess="):
            model.predict(picture())
        with pytest.raises(npresnet.ShapeError, match="expects 1 input channels, got 3"):
            model(batch(1))
        model.save(tmp_path / "saved.npz")
        assert npresnet.load(tmp_path / "saved.npz").config["preprocess"].value is None
    grey = {"mean": [0.5], "std": [0.25], "resize": 32, "crop": 32}
    with load_tensors(tmp_path, tensors, preprocess=grey) as model:
        assert model.preprocess(picture()).shape == (1, 1, 32, 32)
        assert model.predict(picture()).logits.shape == (10,)


# --- life ------------------------------------------------------------------------------------------------------------


def test_a_closed_model_says_so():
    with npresnet.build(ARCH, num_classes=10, threads=2) as model:
        model(batch(1))
    for call in (lambda: model(batch(1)), lambda: model.predict(picture()), lambda: model.features(batch(1), ["fc"])):
        with pytest.raises(npresnet.DeviceError, match="closed"):
            call()
    assert "closed" in repr(model)
    model.close()


def test_what_needs_no_running_works_after_closing(tmp_path):
    model = npresnet.build(ARCH, num_classes=10, threads=1)
    model.close()
    model.save(tmp_path / "saved.npz")
    assert "Total params: 269,722" in model.summary()


def test_repr_tells(model):
    text = repr(model)
    for word in (ARCH, "10 classes", "0.27 M parameters", "cpu", "2 threads", "random weights, seed 0"):
        assert word in text


def test_config_is_plain_json(model):
    values = json.loads(json.dumps(model.config.to_dict()))
    assert values["threads"] == {"value": 2, "origin": "caller", "note": ""}


def test_summary_has_this_model_s_size_by_default(model):
    assert "[-1, 16, 32, 32]" in model.summary()
    assert "[4, 16, 8, 8]" in model.summary((3, 8, 8), batch_size=4)
