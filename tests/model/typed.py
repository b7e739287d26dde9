"""What a type checker knows of the public functions; test_typing has it checked, and nobody runs it."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from typing_extensions import assert_type

import npresnet
from npresnet import ImageError, Model, Prediction

Array = NDArray[Any]


def one(
    model: Model,
    frame: NDArray[np.uint8],
    floats: NDArray[np.float32],
    picture: Image.Image,
    row: dict[str, bytes | str | None],
    path: Path,
) -> None:
    assert_type(model.predict("dog.jpg"), Prediction)
    assert_type(model.predict(path, top=3), Prediction)
    assert_type(model.predict(path.read_bytes()), Prediction)
    assert_type(model.predict(bytearray(b"")), Prediction)
    assert_type(model.predict(memoryview(b"")), Prediction)
    assert_type(model.predict(io.BytesIO(b"")), Prediction)
    with open(path, "rb") as file:
        assert_type(model.predict(file), Prediction)
    assert_type(model.predict(picture), Prediction)
    assert_type(model.predict(frame, bgr=True), Prediction)
    assert_type(model.predict(floats), Prediction)
    assert_type(model.predict(row), Prediction)
    assert_type(model.predict({"bytes": b"", "path": None}), Prediction)
    assert_type(model.cam(path, 3), Array)


def several(
    model: Model,
    frames: list[NDArray[np.uint8]],
    paths: Iterable[Path],
    column: NDArray[np.str_],
    objects: NDArray[np.object_],
) -> None:
    assert_type(model.predict(["a.jpg", "b.jpg"], batch_size=2), list[Prediction])
    assert_type(model.predict(("a.jpg", b"")), list[Prediction])
    assert_type(model.predict(frames, bgr=True), list[Prediction])
    assert_type(model.predict(paths), list[Prediction])
    assert_type(model.predict(path for path in paths), list[Prediction])
    assert_type(model.predict(column), list[Prediction])
    assert_type(model.predict(objects), list[Prediction])
    assert_type(model.predict([]), list[Prediction])
    assert_type(model.cam(["a.jpg"]), list[Array])
    assert_type(model.preprocess(["a.jpg"]), Array)
    assert_type(model.embed(paths), Array)
    assert_type(model.stream(paths), Iterator[tuple[Any, Prediction | ImageError]])


def either(model: Model, anything: Any) -> None:
    assert_type(model.predict(anything), Any)
    result = model.predict("dog.jpg")
    assert_type(result.label, str)
    assert_type(result.top[0].score, float)
    assert_type(result.to_dict(), dict[str, Any])


def loaded(arrays: dict[str, NDArray[np.float32]], path: Path) -> None:
    assert_type(npresnet.load(arrays), Model)
    assert_type(npresnet.load(path.read_bytes()), Model)
    assert_type(npresnet.load(io.BytesIO(b"")), Model)
    with open(path, "rb") as file:
        assert_type(npresnet.load(file), Model)
    assert_type(npresnet.convert(b"", path), Path)
    assert_type(npresnet.read_state_dict(b""), dict[str, Array])
    npresnet.load("demo", labels={"ant": 0}.keys())
    assert_type(npresnet.list_archs("*50*"), list[str])


def refused(model: Model) -> None:
    print(model.predict("dog.jpg").probability)  # type: ignore[attr-defined]
    print(model.predict(["dog.jpg"]).label)  # type: ignore[attr-defined]
    npresnet.load(3)  # type: ignore[arg-type]
    npresnet.list_archs(50)  # type: ignore[arg-type]
