"""Images through the CPU: one and several have the same rows; both devices' classes are called alike."""

from __future__ import annotations

import gc
import inspect
import weakref

import numpy as np
import pytest

import npresnet
from npresnet.errors import ImageError
from npresnet.model.on_cpu import OnCpu
from npresnet.model.on_gpu import OnGpu
from npresnet.model.prediction import parts_ms_of
from tests.support.small import picture


def read(source, bgr):
    """Text as ones (1, 1, 1, its length), negative where bgr is asked for; that of 13 letters is unreadable."""
    if len(source) == 13:
        raise ImageError("13 letters")
    return np.full((1, 1, 1, len(source)), -1.0 if bgr else 1.0, np.float32)


def on_cpu(threads: int = 1) -> OnCpu:
    return OnCpu(read, lambda x: x.sum(axis=(1, 2, 3))[:, None], lambda x: x.max(axis=(1, 2, 3))[:, None], threads)


@pytest.mark.parametrize("pooled", [False, True], ids=["logits", "pooled"])
@pytest.mark.parametrize("bgr", [False, True], ids=["rgb", "bgr"])
def test_one_and_several_have_the_same_rows(pooled, bgr):
    """Of several sizes, which no batch can stack."""
    sources = ["a" * size for size in (3, 5, 3, 7, 5)]
    rows = list(on_cpu(2).rows(iter(sources), 3, top=2, pooled=pooled, bgr=bgr))
    alone = [on_cpu().row(source, pooled=pooled, bgr=bgr) for source in sources]
    expected = [(1 if pooled else len(source)) * (-1 if bgr else 1) for source in sources]
    assert [row.item.source for row in rows] == sources
    assert [row.result.tolist() for row in rows] == [row.result.tolist() for row in alone] == [[x] for x in expected]
    assert all(row.item.x is None for row in [*rows, *alone])


def test_what_cannot_be_read_is_a_row_of_several_and_an_error_alone():
    good, bad, last = on_cpu().rows(["a" * 2, "a" * 13, "a"], 2)
    assert (good.result, last.result) == (2, 1)
    assert bad.values is None
    assert str(bad.item.error) == "13 letters"
    with pytest.raises(ImageError, match="13 letters"):
        on_cpu().row("a" * 13)


def test_both_devices_are_called_alike():
    for method in ("row", "rows"):
        assert inspect.signature(getattr(OnCpu, method)) == inspect.signature(getattr(OnGpu, method))


def test_one_prediction_says_where_its_time_went():
    prediction = npresnet.load("demo", threads=1).predict(picture())
    assert list(parts_ms_of(prediction)) == ["decoding", "computing"]
    assert prediction.elapsed_ms == sum(parts_ms_of(prediction).values())


def test_a_model_that_has_seen_images_goes_with_its_last_reference():
    gc.disable()
    try:
        model = npresnet.load("demo", threads=2)
        model.predict([picture(), picture()])
        model.predict(picture())
        model.embed(picture())
        list(model.stream([picture()]))
        gone = weakref.ref(model)
        del model
        assert gone() is None
    finally:
        gc.enable()
