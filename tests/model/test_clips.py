"""Models of networks for clips: what is one clip and what several, results, refusals, files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import npresnet
from npresnet import images
from npresnet.network import Network
from npresnet.plan import infer_shapes
from npresnet.window import Window
from tests.support.clips import frames, tiny_file, write_frames

HOW = {"resize": (40, 48), "crop": 32, "antialias": False}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return npresnet.load(tiny_file(tmp_path_factory.mktemp("clips")), threads=2, preprocess=HOW)


def test_every_kind_of_clip(model, tmp_path):
    clip = frames()
    folder = write_frames(tmp_path / "clip", clip)
    paths = sorted((tmp_path / "clip").iterdir())
    expected = model(model.preprocess(clip))[0]
    pictures = [Image.fromarray(frame) for frame in clip]
    for source in (clip, list(clip), tuple(paths), pictures, folder, Path(folder), f"{folder}/*.png", clip / 255.0):
        np.testing.assert_array_equal(model.predict(source).logits, expected)
    mixed = [paths[0], clip[1], pictures[2], paths[3].read_bytes()]
    np.testing.assert_array_equal(model.predict(mixed).logits, expected)
    assert model.predict(clip).label == str(int(expected.argmax()))  # there are no names


def test_several_clips(model, tmp_path):
    first, second = frames(4), frames(6, seed=1)
    folder = write_frames(tmp_path / "second", second)
    expected = [model.predict(first).logits, model.predict(second).logits]
    for several in (
        [first, folder],
        [list(first), list(second)],
        iter([first, second]),
        (clip for clip in [first, folder]),
    ):
        found = model.predict(several, batch_size=2)
        np.testing.assert_array_equal([prediction.logits for prediction in found], expected)
    np.testing.assert_array_equal(model.embed([first, folder]), [model.embed(first), model.embed(folder)])
    assert model.embed(first).shape == (16,)
    assert model.embed([]).shape == (0, 16)
    assert model.predict([]) == []


def test_preprocessing_is_that_of_every_frame(model):
    clip = frames(3)
    x = model.preprocess(clip)
    assert (x.shape, x.dtype) == ((1, 3, 3, 32, 32), np.float32)
    how = model.config["preprocess"].value
    for number, frame in enumerate(clip):
        np.testing.assert_array_equal(x[:, :, number], images.preprocess(frame, how))


def test_a_stream_of_clips_goes_on_after_one_that_cannot_be_read(model, tmp_path):
    good = write_frames(tmp_path / "good", frames())
    bad = write_frames(tmp_path / "bad", frames())
    (tmp_path / "bad" / "002.png").write_bytes(b"no picture")
    (first, found), (second, error) = model.stream([good, bad])
    assert (first, second) == (good, bad)
    np.testing.assert_array_equal(found.logits, model.predict(good).logits)
    assert isinstance(error, npresnet.ImageError)
    assert "002.png" in str(error)
    ((path, found),) = model.stream(good)
    assert path == good
    with pytest.raises(npresnet.ImageError, match=r"002\.png"):
        model.predict([good, bad])


def test_arrays_features_and_the_batch(model):
    x = np.random.default_rng(0).normal(size=(3, 3, 5, 33, 30)).astype(np.float32)
    logits = model(x)
    assert logits.shape == (3, 4)
    for number in range(3):
        np.testing.assert_array_equal(model(x[number : number + 1])[0], logits[number])
    np.testing.assert_array_equal(model(np.asfortranarray(x)), logits)
    found = model.features(x, ["conv1", "layer1", "avgpool", "fc"])
    assert found["layer1"].shape == (3, 8, 3, 9, 8)
    np.testing.assert_allclose(found["fc"], logits, rtol=1e-5)
    np.testing.assert_allclose(found["avgpool"].shape, (3, 16, 1, 1, 1))
    broken = x.copy()
    broken[1, 0, 0, 0, 0] = np.nan
    found = model(broken)
    assert np.isnan(found[1]).all()
    np.testing.assert_array_equal(found[[0, 2]], logits[[0, 2]])


def test_files_keep_what_was_decided(model, tmp_path):
    model.save(tmp_path / "saved.npz")
    again = npresnet.load(tmp_path / "saved.npz", threads=1)
    np.testing.assert_array_equal(again.predict(frames()).logits, model.predict(frames()).logits)
    assert again.config["preprocess"].origin == "file"
    assert {name: again.config.value(name) for name in ("arch", "frames", "max_pool", "conv1_t_stride")} == {
        name: model.config.value(name) for name in ("arch", "frames", "max_pool", "conv1_t_stride")
    }
    npresnet.convert(tmp_path / "saved.npz", tmp_path / "converted.npz", conv1_t_stride=2)
    changed = npresnet.load(tmp_path / "converted.npz", threads=1)
    assert changed.config.value("conv1_t_stride") == 2
    assert "3D" not in repr(changed)


def test_summary_is_that_of_a_clip(model):
    assert "[-1, 8, 16, 16, 16]" in model.summary()
    assert "[2, 8, 5, 10, 12]" in model.summary((3, 5, 20, 24), 2)
    with pytest.raises(npresnet.ShapeError, match=r"one clip, \(channels, frames, height, width\)"):
        model.summary((3, 20, 24))


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (frames()[0], r"takes clips: .* got an array of shape \(60, 80, 3\)"),
        (5, "takes clips: .* got int"),
        ([frames()[0], frames()], "a frame, a clip"),
        ([frames()[0], "missing.png"], "missing.png"),
        ([frames()[0], np.zeros((2, 2, 7))], "frame 1 of the clip"),
        ("missing", "no such file or folder"),
        (np.zeros((0, 8, 8, 3), np.uint8), "a clip without frames"),
    ],
)
def test_what_is_no_clip_is_refused(model, clip, message):
    with pytest.raises(npresnet.ImageError, match=message):
        model.predict(clip)


def test_one_image_file_is_no_clip(model, tmp_path):
    folder = write_frames(tmp_path / "clip", frames())
    with pytest.raises(npresnet.ImageError, match=r"000\.png' is one image, but this network takes clips: a folder"):
        model.predict(f"{folder}/000.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(npresnet.ImageError, match="holds no image files"):
        model.predict(tmp_path / "empty")


def test_frames_of_several_sizes_need_a_crop(tmp_path):
    model = npresnet.load(tiny_file(tmp_path), threads=1, preprocess={"resize": 32, "crop": None})
    with pytest.raises(npresnet.ImageError, match=r"must have one size, .* frame 1"):
        model.predict([frames()[0], frames(1, 60, 60)[0]])


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((1, 3, 9, 9), np.float32), r"expects five axes \(N, C, T, H, W\), got 4"),
        (np.zeros((1, 4, 3, 9, 9), np.float32), "x.swapaxes"),
        (np.zeros((1, 4, 4, 9, 9), np.float32), r"pass \(N, 3, T, H, W\)"),
        (np.zeros((1, 3, 0, 9, 9), np.float32), "at least one pixel"),
        (np.zeros((1, 3, 4, 9, 9), np.uint8), "normalised floats"),
    ],
)
def test_arrays_that_are_no_clips_are_refused(model, x, message):
    with pytest.raises(npresnet.ShapeError, match=message):
        model(x)


def test_too_few_frames_are_refused_by_the_layer(tmp_path):
    model = npresnet.load(tiny_file(tmp_path), threads=1)
    conv = model.network["conv1"]
    bare = conv.evolve(window=Window.of((7, 7, 7), (1, 2, 2), (0, 3, 3), axes=3))
    nodes = tuple(bare if node.name == "conv1" else node for node in model.network)
    network = Network(nodes, model.network.outputs)
    with pytest.raises(
        npresnet.ShapeError, match=r"conv1: needs a larger clip \(time, height, width\): size \(4, 9, 9\)"
    ):
        infer_shapes(network, (3, 4, 9, 9))


def test_maps_of_classes_are_refused(model):
    with pytest.raises(npresnet.ArchitectureError, match="this network takes clips"):
        model.cam(frames())


def test_names_build_and_load():
    for name, channels in (("r3d_18", 3), ("medicalnet_resnet10", 1), ("detectandtrack_resnet18_conv4", 3)):
        with npresnet.build(name, num_classes=3, threads=1) as model:
            assert model.network.takes_clips
            out = model(np.zeros((1, channels, 2, 16, 16), np.float32))
            assert out.shape in ((1, 3), (1, 256))
            assert model.config.value("arch") == name
