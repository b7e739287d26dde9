"""npresnet embed and cam."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from npresnet import images
from npresnet.views import overlay
from tests.support.small import shared_model


def test_embed_prints_json(run, folder, model_file):
    done = run("embed", "photos", "--model", model_file)
    assert (done.code, done.err) == (0, "")
    records = json.loads(done.out)
    assert [record["path"] for record in records] == [f"photos/{number:03d}.png" for number in range(5)]
    expected = shared_model().embed([record["path"] for record in records])
    np.testing.assert_array_equal(np.array([record["embedding"] for record in records], np.float32), expected)


def test_embed_writes_npy(run, folder, model_file):
    done = run("embed", "photos/003.png", "photos/001.png", "--model", model_file, "-o", "out.npy")
    assert (done.code, done.out) == (0, "")
    assert "(2, 64)" in done.err
    found = np.load("out.npy")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, shared_model().embed(["photos/003.png", "photos/001.png"]))


def test_embed_continues_after_an_invalid_image(run, folder, model_file):
    done = run("embed", "broken.png", "missing.png", "photos/000.png", "--model", model_file)
    assert done.code == 1
    assert [record["path"] for record in json.loads(done.out)] == ["photos/000.png"]
    assert "broken.png" in done.err
    assert "missing.png" in done.err


def test_embed_writes_no_empty_file(run, folder, model_file):
    assert run("embed", "missing.png", "--model", model_file, "-o", "out.npy").code == 1
    assert not (folder / "out.npy").exists()


@pytest.mark.parametrize("index", [None, 4])
def test_cam(run, folder, model_file, index):
    done = run(
        "cam", "photos/002.png", "-o", "out.png", "--model", model_file, *([] if index is None else ["--index", index])
    )
    assert (done.code, done.out) == (0, "")
    model = shared_model()
    label = model.predict("photos/002.png").label if index is None else model.labels[index]
    assert f"looks like {label} " in done.err
    picture = images.cropped("photos/002.png", "cifar10")
    expected = overlay.cam(picture, model.cam("photos/002.png", index))  # (32, 32, 3)
    with Image.open("out.png") as found:
        assert found.size == (224, 224)  # each pixel 7 x 7
        np.testing.assert_array_equal(np.asarray(found)[3::7, 3::7], expected)


def test_cam_that_fails_writes_nothing(run, folder, model_file):
    (folder / "out.png").write_bytes(b"precious")
    for words in (
        ["broken.png", "-o", "out.png"],
        ["missing.png", "-o", "out.png"],
        ["photos/000.png", "-o", "out.png", "--index", 10],
        ["photos/000.png", "-o", "out.xyz"],
        ["photos/000.png", "-o", "nowhere/out.png"],
    ):
        done = run("cam", *words, "--model", model_file)
        assert (done.code, done.out) == (1, "")
        assert done.err.startswith("npresnet: error: ")
        assert ".part" not in done.err
    assert (folder / "out.png").read_bytes() == b"precious"
    assert sorted(path.name for path in folder.iterdir()) == ["broken.png", "out.png", "photos"]
    assert run("cam", "photos/000.png", "--model", model_file).code == 2
