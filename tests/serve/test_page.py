"""The page, in a real browser: a photo becomes labels with bars and a map over the photo; nothing from outside."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

import npresnet
from npresnet.config import Decision
from npresnet.serve import app
from npresnet.serve.cam import box_of
from npresnet.serve.service import preprocess_of
from npresnet.system.text import visible
from npresnet.views import overlay
from tests.serve.conftest import LABELS, jpeg
from tests.serve.test_limits import until
from tests.support.served import served

PHONE, WIDE = 360, 1280


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photo") / "photo.jpg"
    path.write_bytes(jpeg(8, 640, 300))
    return path


def drop(browser, path) -> None:
    """Choose a file, and wait until the page has said what comes of it."""
    browser.driver.find_element("id", "file").send_keys(str(path))
    done = "!heat.hidden && heat.complete || status_.classList.contains('error')"
    until(lambda: browser.run(f"return {done} || note.textContent !== '' && !status_.textContent.startsWith('Comp')"))


@pytest.mark.parametrize("width", [PHONE, WIDE])
def test_photo_to_labels_and_map(browser, server, model, photo, width):
    browser.open(f"{server.url}/", width)
    assert not browser.run("return document.getElementById('result').checkVisibility()")
    drop(browser, photo)
    wanted = model.predict(str(photo), top=5).top
    shown = browser.run("return [...document.querySelectorAll('#classes .label')].map((e) => e.textContent)")
    assert shown == [visible(one.label) for one in wanted]
    bars = browser.run(
        "return [...document.querySelectorAll('#classes .bar i')]"
        ".map((e) => e.offsetWidth / e.parentElement.offsetWidth)"
    )
    np.testing.assert_allclose(bars, [one.score for one in wanted], atol=0.01)
    assert visible(wanted[0].label) in browser.text("#status")
    places = browser.run(
        "return [photo, heat].map((e) => e.getBoundingClientRect()).map((b) => [b.left, b.top, b.right, b.bottom])"
    )
    left, top, right, bottom = places[0]
    box = box_of((640, 300), preprocess_of(model))
    expected = [
        left + box[0] * (right - left),
        top + box[1] * (bottom - top),
        left + box[2] * (right - left),
        top + box[3] * (bottom - top),
    ]
    np.testing.assert_allclose(places[1], expected, atol=2)
    assert browser.run("return document.documentElement.scrollWidth") == width
    assert browser.run("return document.title") != "broken"
    browser.check_server(server.url)


def test_another_class_and_no_map(browser, server, photo):
    browser.open(f"{server.url}/")
    drop(browser, photo)
    first = browser.run("return heat.src")
    browser.run("document.querySelectorAll('#classes button')[2].click()")
    until(lambda: browser.run("return heat.src") != first)
    assert browser.text("#seen") == browser.run("return document.querySelectorAll('#classes .label')[2].textContent")
    assert browser.run("return document.querySelectorAll('#classes [aria-pressed=true]').length") == 1
    browser.run("show.click()")
    assert browser.run("return heat.hidden")
    browser.check_server(server.url)


def test_file_that_is_no_picture(browser, server, tmp_path):
    path = tmp_path / "text.jpg"
    path.write_text("<b>nothing</b>")
    browser.open(f"{server.url}/", PHONE)
    drop(browser, path)
    assert "is not an image" in browser.text("#status")
    assert not browser.run("return document.getElementById('result').checkVisibility()")
    assert browser.run("return document.querySelectorAll('#status b').length") == 0


def test_files_that_are_dropped(browser, server):
    """One of several is shown, which is told; what is no file is refused; a photo that no browser shows has labels."""
    give = """
        const data = new DataTransfer();
        for (const text of arguments[0]) {
          data.items.add(new File([Uint8Array.from(atob(text), (one) => one.charCodeAt(0))], "<b>.jpg"));
        }
        drop.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
    """
    photos = [base64.b64encode(jpeg(seed)).decode() for seed in (1, 2)]
    browser.open(f"{server.url}/")
    browser.run(give, photos)
    until(lambda: browser.text("#status").endswith("; the first of 2 files"))
    browser.run(give, [])
    assert browser.text("#status") == "That was not a file. Choose, drop or paste a photo."
    browser.run(give, [base64.b64encode(jpeg(1, kind="TIFF")).decode()])
    until(lambda: browser.run("return classes.children.length === 5 && !toggle.hidden"))
    assert browser.text("#note") == "This browser cannot show the picture."
    assert not browser.run("return toggle.checkVisibility()")
    browser.check_server(server.url)


def test_everything_that_can_be_used_has_a_name(browser, server, photo):
    browser.open(f"{server.url}/")
    drop(browser, photo)
    nameless = browser.run(
        "return [...document.querySelectorAll('button, input, img')].filter((e) => e.getClientRects().length &&"
        "!(e.textContent.trim() || e.ariaLabel || e.labels?.length || e.hasAttribute('alt'))).map((e) => e.outerHTML)"
    )
    assert nameless == []


def test_network_without_maps(browser, tmp_path_factory, photo):
    """One logit, and a classifier that no map is exact for: words instead."""
    path = tmp_path_factory.mktemp("one") / "one.npz"
    model = npresnet.build(
        "cifar_resnet20",
        num_classes=1,
        labels=["no", "yes"],
        preprocess={"resize": 36, "crop": 36, "std": [40] * 3},
        threads=1,
    )
    model.save(path)
    with served("--model", str(path), "--threads", "1") as server:
        browser.open(f"{server.url}/")
        drop(browser, photo)
        shown = browser.run("return [...document.querySelectorAll('#classes .label')].map((e) => e.textContent)")
        assert sorted(shown) == ["no", "yes"]
        assert browser.text("#seen") == shown[0]
        browser.check_server(server.url)


def test_policy_and_self_containment(client):
    found = client.get("/")
    policy = found.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert found.headers["content-type"] == "text/html; charset=utf-8"
    for mark in ("http://", "https://", "$style", "$script", "$facts", "$name", "$what"):
        assert mark not in found.text


def test_names_are_text(weights, monkeypatch):
    """A model's architecture comes from a file, and words about it may quote the file."""
    monkeypatch.setattr("npresnet.serve.page.why_not", lambda model: "</script><img src=y>")
    model = npresnet.load(weights, threads=1)
    model.config = model.config.with_decisions(arch=Decision("<img src=x>", "file"))
    with TestClient(app(model)) as client:
        text = client.get("/").text
    assert "<img" not in text.partition("<main>")[0]
    assert "&lt;img src=x&gt;" in text
    assert "</script><img" not in text
    assert "\\u003c/script>\\u003cimg src=y>" in text


@pytest.mark.parametrize("index", [None, 0, 4])
def test_cam_as_json(client, model, index):
    image = jpeg(1)
    found = client.post("/cam", params={} if index is None else {"index": index}, content=image).json()
    chosen = model.predict(image).index if index is None else index
    assert (found["index"], found["label"]) == (chosen, visible(LABELS[chosen]))
    layer = Image.open(io.BytesIO(base64.b64decode(found["heat"].partition(",")[2])))
    heat = model.cam(image, chosen)
    np.testing.assert_array_equal(np.asarray(layer)[:, :, :3], overlay.colours(heat))
    opacity = overlay.COLD + (overlay.HOT - overlay.COLD) * heat
    np.testing.assert_allclose(np.asarray(layer)[:, :, 3], 255 * opacity, atol=0.51)


def test_cam_of_a_label(client, model):
    for index, label in enumerate(LABELS):
        found = client.post("/cam", params={"index": label.upper()}, content=jpeg(1)).json()
        assert (found["index"], found["label"]) == (index, visible(label))
    same = [client.post("/cam", params={"index": text}, content=jpeg(1)).content for text in ("3", LABELS[3])]
    assert same[0] == same[1]


def test_cam_as_png(client, model):
    found = client.post("/cam?index=2", content=jpeg(1), headers={"accept": "image/png"})
    assert found.headers["content-type"] == "image/png"
    cropped = npresnet.images.cropped(jpeg(1), model.config["preprocess"].value)
    np.testing.assert_array_equal(
        np.asarray(Image.open(io.BytesIO(found.content))), overlay.cam(cropped, model.cam(jpeg(1), 2))
    )


@pytest.mark.parametrize(
    ("path", "content", "status", "words"),
    [
        ("/cam?index=6", jpeg(1), 422, "out of range: expected 0 to 5"),
        ("/cam?index=x", jpeg(1), 422, "index=x: no class has this label; there are "),
        ("/cam?index=", jpeg(1), 422, "index=: no class has this label; there are plain (0)"),
        ("/cam?index=-1", jpeg(1), 422, "index=-1: no class has this label"),
        ("/cam?label=dog", jpeg(1), 400, "?index=CLASS and nothing else"),
        (f"/cam?index={'z' * 2000}", jpeg(1), 422, f"index={'z' * 64}: no class"),
        ("/cam", b"", 422, "empty"),
    ],
)
def test_cam_that_cannot_be(client, path, content, status, words):
    found = client.post(path, content=content)
    assert (found.status_code, words in found.json()["error"]) == (status, True)


def test_cam_of_several(client):
    found = client.post("/cam", files=[("a", ("a", jpeg(1))), ("a", ("b", jpeg(2)))])
    assert (found.status_code, found.json()["error"]) == (422, "expected one image, got 2")


@pytest.mark.parametrize(
    ("size", "how", "box"),
    [
        ((400, 200), {"resize": 100, "crop": 100}, [0.25, 0, 0.75, 1]),
        ((200, 400), {"resize": 100, "crop": (50, 80)}, [0.1, 0.375, 0.9, 0.625]),
        ((50, 50), {"resize": None, "crop": 100}, [-0.5, -0.5, 1.5, 1.5]),
        ((40, 30), {"resize": (10, 20), "crop": None}, [0, 0, 1, 1]),
    ],
)
def test_box(size, how, box):
    assert box_of(size, npresnet.Preprocess(**how)) == box
