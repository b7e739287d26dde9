"""Array inputs: which are accepted, which are refused, and that neither input nor output memory is shared."""

from __future__ import annotations

import numpy as np
import pytest

import npresnet
from npresnet import ops
from tests.support.float_error import assert_as_exact_as
from tests.support.small import batch


def test_logits(model):
    x = batch(8)
    logits = model(x)
    assert (logits.shape, logits.dtype) == ((8, 10), np.float32)
    plain, exact = (ops.run(model.network, x.astype(dtype))["logits"] for dtype in (np.float32, np.float64))
    assert_as_exact_as(logits, plain, exact)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ">f4", "<f4", ">f8"])
def test_other_floats_are_cast(model, dtype):
    x = batch(2).astype(np.float16).astype(dtype)  # exact in each dtype
    np.testing.assert_array_equal(model(x), model(x.astype(np.float32)))


def test_any_strides_are_accepted(model):
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


def test_the_input_is_never_modified(model):
    x = batch(2)
    before = x.copy()
    x.flags.writeable = False
    model(x)
    np.testing.assert_array_equal(x, before)


def test_results_are_owned_by_the_caller(model):
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
        (None, ["got NoneType", "model.predict(images)"]),
        (np.float32(1), ["N, C, H, W", "got 0"]),
        (np.zeros((3, 32, 32), np.float32), ["(3, 32, 32)", "x[None]"]),
        (np.zeros((1, 1, 3, 32, 32), np.float32), ["N, C, H, W", "got 5"]),
        (
            np.zeros((1, 4, 32, 32), np.float32),
            ["conv1 expects 3 input channels, got 4", "(1, 4, 32, 32)", "(16, 3, 3, 3)", "(N, 3, H, W)"],
        ),
        (np.zeros((2, 32, 32, 3), np.float32), ["channels must be the second axis", "transpose(0, 3, 1, 2)"]),
        (np.zeros((1, 3, 0, 32), np.float32), ["at least one pixel"]),
        ([[1.0, 2.0], [3.0]], ["cannot be converted to one"]),
    ],
    ids=lambda value: str(getattr(value, "dtype", "")) + str(getattr(value, "shape", "")) or None,
)
def test_invalid_arrays_are_refused(model, x, words):
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
