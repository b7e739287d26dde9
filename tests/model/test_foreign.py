"""What is passed by mistake is named for what it is, with the way out, wherever an image or an array is taken."""

from __future__ import annotations

import asyncio
import concurrent.futures
import importlib.util
import io
import re
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import pandas
import pyarrow
import pytest
from PIL import Image

import npresnet
from npresnet.system import foreign
from tests.support.checkout import REPOSITORY
from tests.support.small import picture


async def read():
    return b""


async def pages():
    yield b""


def made(module, *names):
    """An object of a class of that name, which that library need not be installed for: names of it and its bases."""
    kind: type = object
    for name in reversed(names):
        kind = type(
            name, (kind,), {"__module__": module, "read": lambda self: read(), "__iter__": lambda self: iter(())}
        )
    return kind()


def figure():
    from matplotlib.figure import Figure

    return Figure()


def task():
    loop = asyncio.new_event_loop()
    try:
        return loop.create_future()
    finally:
        loop.close()


FOREIGN = {
    "coroutine": (read, r"a coroutine, which has not run; await it .*data = await file\.read\(\)"),
    "async generator": (pages, r"an async generator; .*\[item async for item in generator\]"),
    "requests": (
        lambda: made("requests.models", "Response"),
        r"a requests\.Response; pass its bytes, response\.content",
    ),
    "httpx": (lambda: made("httpx", "Response"), r"an httpx\.Response; pass its bytes, response\.content"),
    "aiohttp": (lambda: made("aiohttp.client_reqrep", "ClientResponse"), r"await response\.read\(\)"),
    "starlette": (lambda: made("starlette.datastructures", "UploadFile"), r"await upload\.read\(\), or upload\.file"),
    "future": (concurrent.futures.Future, r"a Future; pass what it gives, future\.result\(\)"),
    "asyncio's future": (task, r"a Future; pass what it gives, await future"),
    "stream reader": (lambda: made("asyncio.streams", "StreamReader"), r"await reader\.read\(\)"),
    "object ref": (lambda: made("ray._raylet", "ObjectRef"), r"ray\.get\(ref\)"),
    "figure": (figure, r"a matplotlib Figure; pass its pixels, numpy\.asarray\(figure\.canvas\.buffer_rgba\(\)\)"),
    "axes": (lambda: figure().subplots(), r"matplotlib Axes; .*axes\.figure\.canvas\.buffer_rgba"),
    "video": (lambda: made("cv2", "VideoCapture"), r"ok, frame = capture\.read\(\)"),
    "table": (lambda: pandas.DataFrame({"path": ["a.png"]}), r"a table; pass one of its columns"),
    "arrow table": (lambda: pyarrow.table({"path": ["a.png"]}), r"a table; pass one of its columns"),
    "dataset": (lambda: made("datasets.arrow_dataset", "Dataset"), r"a dataset; pass one of its columns"),
    "loader": (lambda: made("torch.utils.data.dataloader", "DataLoader"), r"its batches to model\(x\)"),
    "function": (lambda: picture, r"a function; call it"),
    "class": (lambda: Image.Image, r"a class; make an object"),
}


def closed(source):
    if hasattr(source, "close") and not isinstance(source, type):
        source.close()


@pytest.mark.parametrize("name", FOREIGN)
def test_as_an_image(model, name):
    make, words = FOREIGN[name]
    for function in (model.predict, model.preprocess, model.embed, model.cam):
        source = make()
        with pytest.raises(npresnet.ImageError, match=rf"^an image cannot be read from .*({words})"):
            function(source)
        closed(source)


@pytest.mark.parametrize("name", FOREIGN)
def test_among_several(model, name):
    make, words = FOREIGN[name]
    source = make()
    with pytest.raises(npresnet.ImageError, match=rf"^image 1 of the list .*({words})"):
        model.predict([picture(), source])
    (_, error), (_, result) = model.stream([source, picture()])
    assert re.search(words, str(error))
    assert isinstance(result, npresnet.Prediction)
    closed(source)


@pytest.mark.parametrize("name", ["coroutine", "requests", "future", "figure", "function"])
def test_as_an_array(model, name):
    make, words = FOREIGN[name]
    source = make()
    with pytest.raises(npresnet.ShapeError, match=rf"^model\(x\) expects preprocessed images.*({words})"):
        model(source)
    closed(source)


def test_a_generator_is_several_images_but_not_one_of_them(model):
    assert len(model.predict(picture(seed) for seed in range(2))) == 2
    with pytest.raises(npresnet.ImageError, match=r"image 1 of the list .*a generator, .*next\(generator\)"):
        model.predict([picture(), (picture(seed) for seed in range(2))])
    with pytest.raises(npresnet.ShapeError, match=r"a generator, .*next\(generator\)"):
        model(x for x in [1.0])


def test_the_words_of_all_known_are_sentences_of_their_own():
    for words in [*foreign._KNOWN.values(), *(words for _, words in foreign._OWN)]:
        assert re.match(r"(an? |matplotlib )", words)
        assert ";" in words or "await" in words
        assert len(words) < 200


def test_classes_derived_from_known_ones():
    response = type(made("requests.models", "Response"))
    assert "response.content" in foreign.named_class(type("Mine", (response,), {}))
    for other in (made("requests", "Session"), made("mine", "Response"), SimpleNamespace(), 3, "text"):
        assert foreign.named(other) == ""


class Awaited:
    """As of aiofiles, and a hundred others."""

    async def read(self, size=-1):
        return b""


def test_files_whose_read_is_a_coroutine(model, recwarn):
    for call in (model.predict, npresnet.load, npresnet.read_state_dict):
        with pytest.raises(npresnet.NpresnetError, match=r"a file whose read\(\) is a coroutine.*await file\.read\(\)"):
            call(Awaited())
    assert not recwarn.list  # no coroutine was made that nobody awaits


REAL = [
    ("requests", "Response"), ("httpx", "Response"), ("aiohttp", "ClientResponse"), ("fastapi", "UploadFile"),
    ("starlette.datastructures", "UploadFile"), ("starlette.requests", "Request"), ("flask", "Request"),
    ("concurrent.futures", "Future"), ("asyncio", "Future"), ("asyncio", "Task"), ("asyncio", "StreamReader"),
    ("ray", "ObjectRef"), ("matplotlib.figure", "Figure"), ("matplotlib.axes", "Axes"),
    ("matplotlib.image", "AxesImage"),
    ("cv2", "VideoCapture"), ("pandas", "DataFrame"), ("polars", "DataFrame"), ("pyarrow", "Table"),
    ("pyarrow", "RecordBatch"),
    ("datasets", "Dataset"), ("torch.utils.data", "DataLoader"), ("torch.nn", "Module"), ("zipfile", "Path"),
]  # fmt: skip


@pytest.mark.parametrize(("module", "name"), REAL)
def test_the_libraries_own_classes_are_known(module, name):
    """Those that are installed; nine always are, for the tests need them."""
    if importlib.util.find_spec(module.partition(".")[0]) is None:
        return
    assert foreign.named_class(getattr(importlib.import_module(module), name))


def test_nothing_is_imported_to_know_them():
    code = textwrap.dedent("""
        import sys, numpy, npresnet
        model = npresnet.load("demo", threads=1)
        model.predict([numpy.zeros((9, 9, 3), numpy.uint8)] * 2)
        for bad in (object(), None, {"a": 1}, print):
            try:
                model.predict(bad)
            except npresnet.ImageError:
                pass
        heavy = {"pandas", "pyarrow", "requests", "httpx", "matplotlib", "torch", "asyncio", "starlette"}
        assert not heavy & set(sys.modules), heavy & set(sys.modules)
        """)
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY)


# --- objects of this kind, in a state that cannot be read ------------------------------------------------------------


@pytest.fixture
def path(tmp_path):
    found = tmp_path / "a.png"
    Image.fromarray(picture()).save(found)
    return found


def closed_pictures(path):
    with Image.open(path) as image:
        yield image
    with open(path, "rb") as file:
        image = Image.open(file)
    yield image
    image = Image.open(io.BytesIO(path.read_bytes()))
    image.close()
    yield image
    image = Image.open(path)
    image.load()
    image.close()
    yield image


def test_closed_pictures(model, path):
    for number, image in enumerate(list(closed_pictures(path))):
        with pytest.raises(
            npresnet.ImageError, match=r"was closed before it was read; read it first, inside the `with`"
        ):
            pytest.fail(f"{number} was read: {model.predict(image)}")


def test_closed_files(model, path):
    for file in (open(path, "rb"), io.BytesIO(path.read_bytes())):  # noqa: SIM115
        file.close()
        with pytest.raises(npresnet.ImageError, match="was closed before it was read"):
            model.predict(file)


def test_text(model, path):
    for text in (io.StringIO("a.png"), open(path, encoding="latin-1")):  # noqa: SIM115
        with text, pytest.raises(npresnet.ImageError, match=r"was opened as text; open it with mode 'rb'"):
            model.predict(text)


def test_a_folder(model, path):
    for folder in (path.parent, str(path.parent)):
        with pytest.raises(npresnet.ImageError, match=r"is a folder, not an image; model\.stream\(folder\) classifies"):
            model.predict(folder)
        assert len(list(model.stream(folder))) == 1


def test_none_is_what_opencv_returns(model):
    with pytest.raises(npresnet.ImageError, match=r"from NoneType \(cv2\.imread returns None"):
        model.predict(None)


# --- model(x) --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda path: str(path), "str '"),
        (lambda path: path, "PosixPath|WindowsPath"),
        (lambda path: [str(path), str(path)], "list"),
        (lambda path: path.read_bytes(), "bytes b'"),
        (lambda path: {"bytes": b"", "path": None}, "dict"),
        (lambda path: io.BytesIO(path.read_bytes()), "BytesIO"),
        (lambda path: pandas.Series([str(path)]), "Series"),
    ],
)
def test_what_is_for_predict(model, path, make, kind):
    words = (
        rf"^model\(x\) expects preprocessed images, .*got ({kind}).*use model\.predict\(images\); .*model\.preprocess"
    )
    with pytest.raises(npresnet.ShapeError, match=words):
        model(make(path))
    with pytest.raises(npresnet.ShapeError, match=words):
        model.features(make(path), ["layer1"])


def test_pixels_are_for_predict(model):
    for pixels in (picture(), Image.fromarray(picture())):
        with pytest.raises(
            npresnet.ShapeError, match=r"model\.preprocess\(image\), or pass the image to model\.predict"
        ):
            model(pixels)


def test_advice_for_torch_is_in_torch_s_words(model):
    torch = pytest.importorskip("torch")
    with pytest.raises(npresnet.ShapeError, match=r"pass x\.permute\(0, 3, 1, 2\)"):
        model(torch.zeros(1, 32, 32, 3))
    with pytest.raises(npresnet.ShapeError, match=r"Cast it: x\.float\(\)"):
        model(torch.zeros(1, 3, 32, 32, dtype=torch.int64))


def test_bfloat16_of_torch_is_cast_by_torch(model):
    torch = pytest.importorskip("torch")
    with pytest.raises(npresnet.ShapeError, match=r"Cast it: x\.float\(\)$"):
        model(torch.zeros(1, 3, 32, 32, dtype=torch.bfloat16))
