"""HEIC: read by pillow-heif where it is installed, which is imported for such files alone; advice where it is not."""

from __future__ import annotations

import io
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from npresnet.errors import ImageError
from npresnet.images import opening, read
from tests.cli.test_predict_streams import environ
from tests.images.pictures import picture


@pytest.fixture(scope="module")
def heic() -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    data = io.BytesIO()
    pillow_heif.from_pillow(picture("RGB", 48, 40)).save(data, quality=90)
    return data.getvalue()


@pytest.fixture
def unregistered():
    """As in a new process: Pillow knows no HEIC."""
    known = Image.OPEN.pop("HEIF", None)
    if known is not None:
        Image.ID.remove("HEIF")
    yield
    if known is not None and "HEIF" not in Image.OPEN:
        Image.register_open("HEIF", *known)


def test_paths_bytes_and_files_whatever_their_name(tmp_path, heic, unregistered):
    for name in ("photo.heic", "photo.HEIF", "photo.jpg", "photo"):
        (tmp_path / name).write_bytes(heic)
        assert read(tmp_path / name).size == (40, 48)
    found = [np.asarray(read(source)) for source in (heic, io.BytesIO(heic), tmp_path / "photo.heic")]
    assert all(np.array_equal(found[0], other) for other in found)
    difference = np.abs(found[0].astype(int) - np.asarray(picture("RGB", 48, 40)))
    assert difference.mean() < 40  # noise, which HEIC keeps badly; another picture differs by 85
    larger = read(io.BytesIO(heic), max_pixels=10**9)  # beyond Pillow's limit another function opens the file
    assert np.array_equal(np.asarray(larger), found[0])
    with pytest.raises(ImageError, match="more than max_pixels = 100"):
        read(heic, max_pixels=100)


def test_a_stream_that_cannot_go_back(heic, unregistered):
    assert read(SimpleNamespace(read=io.BytesIO(heic).read)).size == (40, 48)


def test_it_is_imported_only_for_such_files(tmp_path, heic):
    (tmp_path / "photo.heic").write_bytes(heic)
    picture("RGB", 8, 8).save(tmp_path / "photo.png")
    (tmp_path / "text.png").write_bytes(b"no image")
    code = (
        "import sys\nfrom npresnet import images\nimages.read('photo.png')\n"
        "try: images.read('text.png')\nexcept ValueError: pass\n"
        "print('pillow_heif' in sys.modules); images.read('photo.heic'); print('pillow_heif' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environ(), capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "True"]


@pytest.mark.parametrize("max_pixels", [None, 10**9])
def test_without_pillow_heif_there_is_advice(tmp_path, heic, unregistered, monkeypatch, max_pixels):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "photo.heic").write_bytes(heic)
    for source in (tmp_path / "photo.heic", heic):
        with pytest.raises(ImageError, match=r"is HEIC or AVIF.*python -m pip install pillow-heif"):
            read(source, max_pixels=max_pixels)


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"mif1", b"msf1", b"avif"])
def test_brands(brand):
    start = b"\0\0\0\x1cftyp" + brand + bytes(4) + b"miaf"
    assert opening._register_heif(start) or "pillow_heif" not in sys.modules


def test_a_damaged_file_is_told_as_damaged(tmp_path, heic, unregistered):
    (tmp_path / "photo.heic").write_bytes(heic[:200])
    with pytest.raises(ImageError, match=r"photo.heic .*(damaged|truncated)") as caught:
        read(tmp_path / "photo.heic")
    assert "pip install" not in str(caught.value)


def test_what_libheif_says_of_a_damaged_file_is_one_line(heic, unregistered):
    """A file cut behind its boxes is opened, and fails while it is decoded; libheif's words end in a line end."""
    start = heic.index(b"mdat")
    with pytest.raises(ImageError, match="cannot be read: truncated, damaged or not supported") as caught:
        read(heic[: start + 20])
    assert "\n" not in str(caught.value)
    assert "Unexpected end of file" in str(caught.value)
