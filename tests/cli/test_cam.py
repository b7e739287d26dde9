"""npresnet cam."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from npresnet import images
from npresnet.views import overlay
from tests.support.small import picture, shared_model, write_pictures


@pytest.mark.parametrize("index", [None, 4])
@pytest.mark.parametrize(("height", "width"), [(40, 48), (300, 200), (20, 90), (32, 32)])
def test_cam(run, folder, model_file, index, height, width):
    """The photo has its own size, and its middle the colours of the map."""
    write_pictures(folder / "other", 1, height=height, width=width)
    words = [] if index is None else ["--index", index]
    done = run("cam", "other/000.png", "-o", "out.png", "--model", model_file, *words)
    assert (done.code, done.out) == (0, "")
    model = shared_model()
    label = model.predict("other/000.png").label if index is None else model.labels[index]
    assert f"looks like {label} " in done.err
    photo = picture(0, height=height, width=width)
    with Image.open("out.png") as found:
        assert found.size == (width, height)
        pixels = np.asarray(found)
    if (height, width) == (32, 32):
        np.testing.assert_array_equal(pixels, overlay.cam(photo, model.cam("other/000.png", index)))
    left, top, right, bottom = (round(edge) for edge in images.crop_in_photo((width, height), "cifar10"))
    inside = np.zeros((height, width), bool)
    inside[max(0, top) : bottom, max(0, left) : right] = True
    np.testing.assert_array_equal(pixels[~inside], np.rint(photo[~inside] * np.float32(0.5)).astype(np.uint8))


def test_a_label_in_place_of_the_index(run, folder, model_file):
    labels = [f"class {number}" for number in range(7)] + ["Golden_Retriever", "crane", "tench, Tinca tinca"]
    (folder / "labels.json").write_text(json.dumps(labels))
    words = ("cam", "photos/000.png", "--model", model_file, "--labels", "labels.json")
    assert run(*words, "-o", "a.png", "--index", 7).code == 0
    for text in ("Golden_Retriever", "golden retriever", "golden-retriever", "07"):
        done = run(*words, "-o", "b.png", "--index", text)
        assert (done.code, "looks like Golden_Retriever" in done.err) == (0, True), done.err
        assert (folder / "a.png").read_bytes() == (folder / "b.png").read_bytes()
    assert "looks like tench" in run(*words, "-o", "b.png", "--index", "tinca tinca").err


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("crane", "means several classes: crane (1), crane (8)"),
        ("dogg", "did you mean dog (0)?"),
        ("retriever", "did you mean golden retriever (2), flat-coated retriever (3)?"),
        ("xyz", "there are dog (0), crane (1)"),
        ("\x1b[31m", "there are dog (0)"),
        ("10", "expected 0 to 9"),
    ],
)
def test_labels_that_no_or_several_classes_have(run, folder, model_file, text, told):
    labels = ["dog", "crane", "golden retriever", "flat-coated retriever", "a", "b", "c", "d", "crane", "e"]
    (folder / "labels.json").write_text(json.dumps(labels))
    words = ("cam", "photos/000.png", "-o", "out.png", "--model", model_file, "--labels", "labels.json")
    done = run(*words, "--index", text)
    assert (done.code, done.out) == (1, "")
    assert told in done.err
    assert "\x1b" not in done.err
    assert not (folder / "out.png").exists()


def test_several_images_into_a_folder(run, folder, model_file):
    write_pictures(folder / "photos" / "sub", 1)
    (folder / "photos" / "000.jpg").write_bytes((folder / "photos" / "000.png").read_bytes())
    done = run("cam", "photos", "broken.png", "-o", "maps/", "--model", model_file, "--recursive")
    assert done.code == 1
    assert "broken.png" in done.err
    names = ["000-cam.png", "000-cam-2.png", *(f"{number:03d}-cam.png" for number in range(1, 5)), "000-cam-3.png"]
    assert sorted(path.name for path in (folder / "maps").iterdir()) == sorted(names)
    assert run("cam", "photos/000.png", "-o", "one.png", "--model", model_file).code == 0
    assert (folder / "one.png").read_bytes() == (folder / "maps" / "000-cam.png").read_bytes()
    assert done.err.count("wrote maps/") == len(names)


def test_a_name_that_cannot_be_written_costs_one_map(run, folder, model_file):
    photos = folder / "photos"
    (photos / "000.png").rename(photos / f"{240 * 'a'}.png")
    (folder / "maps" / "002-cam.png").mkdir(parents=True)
    done = run("cam", "photos", "-o", "maps/", "--model", model_file)
    assert done.code == 1
    assert "File name too long; choose another name" in done.err
    assert "maps/002-cam.png: Is a directory" in done.err
    made = sorted(path.name for path in (folder / "maps").iterdir() if path.is_file())
    assert made == ["001-cam.png", "003-cam.png", "004-cam.png"]


@pytest.mark.parametrize("mode", ["I;16", "F"])
def test_what_is_odd_about_a_photo_is_said_once(run, folder, model_file, mode):
    values = np.arange(40 * 50).reshape(40, 50) * (30 if mode == "I;16" else 1)
    Image.fromarray(values.astype(np.uint16 if mode == "I;16" else np.float32)).save("deep.tif")
    with pytest.warns(UserWarning, match="8 bits"):
        label = shared_model().predict("deep.tif").label
    done = run("cam", "deep.tif", "-o", "out.png", "--model", model_file)
    assert (done.code, done.err.count("deep.tif has more than 8 bits per pixel")) == (0, 1), done.err
    assert f"where deep.tif looks like {label} " in done.err


def test_a_pattern(run, folder, model_file):
    done = run("cam", "photos/*.png", "-o", "{name}_map.jpg", "--model", model_file)
    assert done.code == 0
    assert sorted(path.name for path in folder.glob("*_map.jpg")) == [f"{n:03d}_map.jpg" for n in range(5)]
    listed = "photos/000.png\nphotos/001.png\n"
    assert run("cam", "-", "-o", "maps2/", "--model", model_file, stdin=listed).code == 0
    assert len(list((folder / "maps2").iterdir())) == 2


def test_several_images_and_one_file_is_wrong_usage(run, folder, model_file):
    done = run("cam", "photos", "-o", "out.png", "--model", model_file)
    assert (done.code, done.out) == (2, "")
    assert "{name}" in done.err
    assert not (folder / "out.png").exists()


def test_no_image_is_overwritten(run, folder, model_file):
    before = {path: path.read_bytes() for path in (folder / "photos").glob("*.png")}
    for words in (["photos/000.png", "-o", "photos/000.png"], ["photos", "-o", "photos/{name}.png"]):
        done = run("cam", *words, "--model", model_file)
        assert done.code == 1
        assert "would be overwritten" in done.err
    assert {path: path.read_bytes() for path in (folder / "photos").glob("*.png")} == before


def test_no_image_of_a_list_on_stdin_is_overwritten(run, folder, model_file):
    (folder / "1.png").write_bytes((folder / "photos" / "001.png").read_bytes())
    before = {path: path.read_bytes() for path in (folder / "photos").glob("*.png")}
    for listed in ("photos/001.png\nphotos/000.png\n", "1.png\nphotos/001.png\n"):  # itself; one that comes later
        pattern = "photos/00{name}.png" if listed.startswith("1") else "photos/{name}.png"
        done = run("cam", "-", "-o", pattern, "--model", model_file, stdin=listed)
        assert done.code == 1
        assert "photos/001.png is one of the images, and would be overwritten" in done.err
    assert {path: path.read_bytes() for path in before} == before


def test_one_image_on_stdin_into_one_file(run, folder, model_file):
    photo = (folder / "photos" / "000.png").read_bytes()
    for number, stdin in enumerate((photo, "photos/000.png\n")):
        assert run("cam", "-", "-o", f"{number}.png", "--model", model_file, stdin=stdin).code == 0
    assert (folder / "0.png").read_bytes() == (folder / "1.png").read_bytes()


def test_a_suffix_of_no_picture_is_told_once(run, folder, monkeypatch):
    """And a pattern may take the suffix of the photo's own name."""
    (folder / "photos" / "000.png").rename(folder / "photos" / "000.jpg.png")
    assert run("cam", "photos/000.jpg.png", "-o", "map-{name}").code == 0
    assert (folder / "map-000.jpg").exists()
    monkeypatch.setattr("npresnet.load", lambda *_, **__: pytest.fail("a model is loaded"))
    done = run("cam", "photos", "-o", "{name}.xyz")
    assert (done.code, done.out) == (1, "")
    assert done.err == "npresnet: error: {name}.xyz: unsupported extension for an image; use .png, .jpg or similar\n"


def test_cam_that_fails_writes_nothing(run, folder, model_file):
    (folder / "out.png").write_bytes(b"precious")
    for words in (
        ["broken.png", "-o", "out.png"],
        ["missing.png", "-o", "out.png"],
        ["photos/000.png", "-o", "out.png", "--index", 10],
        ["photos/000.png", "-o", "out.png", "--index", "9" * 5000],
        ["photos/000.png", "-o", "out.xyz"],
        ["photos/000.png", "-o", "nowhere/out.png"],
    ):
        done = run("cam", *words, "--model", model_file)
        assert (done.code, done.out) == (1, "")
        assert done.err.startswith("npresnet: ")
        assert ".part" not in done.err
    assert (folder / "out.png").read_bytes() == b"precious"
    assert sorted(path.name for path in folder.iterdir()) == ["broken.png", "out.png", "photos"]
    assert run("cam", "photos/000.png", "--model", model_file).code == 2, "without -o"
