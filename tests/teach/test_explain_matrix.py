"""The matrix of im2col as `explain` shows it: its sizes, how often a pixel stands in it, and what of it is shown."""

from __future__ import annotations

import base64
from itertools import product

import numpy as np
import pytest

from npresnet import ops
from npresnet.network import INPUT, Node
from npresnet.teach import explain
from npresnet.teach.explain.matrix import choose_shown, copies, measure
from npresnet.teach.explain.pixel import Place
from npresnet.window import Window
from tests.support.layers import PHOTO, Kind, input_of, model_of

WINDOWS = [Window.of(*numbers) for numbers in product((1, 2, 3), (1, 2, 3), (0, 1), (1, 2))]


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_copies_are_counted_as_im2col_makes_them(window):
    x = np.arange(1.0, 1 + 6 * 7).reshape(1, 1, 6, 7)
    columns = ops.im2col(x, window)
    counted = np.array([(columns == value).sum() for value in x.flat]).reshape(6, 7)
    np.testing.assert_array_equal(np.outer(copies(window, 0, 6), copies(window, 1, 7)), counted)


def test_sizes_of_the_matrix(explained):
    model, facts = explained
    x = input_of(model, facts.input_name)
    columns = ops.im2col(x, model.network[facts.layer].window)
    assert facts.matrix.columns_bytes == columns.astype(np.float32).nbytes
    assert facts.matrix.depth * facts.groups == columns.shape[1]
    assert facts.matrix.positions == columns.shape[2]
    weight = model.network[facts.layer].params["weight"]
    assert (facts.matrix.input_bytes, facts.matrix.weight_bytes) == (x.nbytes, weight.nbytes)
    assert facts.matrix.macs == weight.size * facts.matrix.positions


def shown_values(shown) -> np.ndarray:
    shape = [last - first for first, last in (shown.channels, shown.rows, shown.columns)]
    return np.frombuffer(base64.b64decode(shown.data), "<f4").reshape(shape)


def test_shown_values_are_the_input(explained):
    model, facts = explained
    shown, x = facts.shown, input_of(model, facts.input_name)
    assert shown.cut == ""
    np.testing.assert_array_equal(shown_values(shown), x[0, slice(*facts.channels)])


def test_a_large_layer_is_cut_and_says_so():
    """256 x 56 x 56 inputs would be 4 MB of text."""
    facts = explain.gather(model_of(Kind("resnet14", "layer2.0.conv1"), size=224), PHOTO, "layer2.0.conv1")
    assert facts.shown.cut == "the first 83 of its 256 input channels"
    assert len(explain.render(facts)) < 2.5e6


@pytest.mark.parametrize("most", [1, 50, 400, 3000])
def test_a_large_input_is_cut_around_the_place(most):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 8, 40, 30), np.float32)
    conv = Node("c", "conv2d", (INPUT,), Window.of(3, 2, 1), params={"weight": np.zeros((4, 8, 3, 3), np.float32)})
    shown = choose_shown(conv, Place(0, 19, 0), x, most)
    values = shown_values(shown)
    assert values.size <= max(most, 9)
    assert shown.cut != ""
    np.testing.assert_array_equal(values, x[0, slice(*shown.channels), slice(*shown.rows), slice(*shown.columns)])
    assert shown.out_rows[0] <= 19 < shown.out_rows[1]
    assert shown.out_columns[0] <= 0 < shown.out_columns[1]
    for axis, (outputs, inputs, size) in enumerate(
        [(shown.out_rows, shown.rows, 40), (shown.out_columns, shown.columns, 30)]
    ):
        first, last = conv.window.input_range(axis, *outputs)
        assert (max(0, first), min(size, last)) == inputs


def test_a_pointwise_matrix_is_the_image():
    matrix = measure(*pointwise(stride=1))
    assert matrix.is_the_image
    assert matrix.columns_bytes == matrix.input_bytes
    assert not measure(*pointwise(stride=2)).is_the_image


def pointwise(stride: int):
    weight = np.zeros((4, 8, 1, 1), np.float32)
    return Node("c", "conv2d", (INPUT,), Window.of(1, stride), params={"weight": weight}), (8, 5, 5)
