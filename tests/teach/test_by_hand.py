"""by_hand.resnet18 against PyTorch and against ops.run; that it stays short, and alone."""

from __future__ import annotations

import ast
import inspect

import numpy as np
import pytest

from npresnet import arch, ops
from npresnet.teach import by_hand
from tests.support import reference
from tests.support.torch_ops import on_one_thread

IMAGES = np.random.default_rng(0).standard_normal((2, 3, 43, 52))


@pytest.fixture(scope="module")
def model():
    return reference.torchvision_model("resnet18", num_classes=11)


def test_equals_torchvision(model):
    module, weights = model
    expected = on_one_thread(reference.run_double)(module, IMAGES)
    got = by_hand.resnet18(weights, IMAGES)
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


def test_equals_the_specification(model):
    _, weights = model
    expected = ops.run(arch.build(weights)[0], IMAGES)["logits"]
    np.testing.assert_allclose(by_hand.resnet18(weights, IMAGES), expected, rtol=0, atol=1e-12 * np.abs(expected).max())


def test_float32_stays_float32(model):
    _, weights = model
    got = by_hand.resnet18(weights, IMAGES.astype(np.float32))
    assert got.dtype == np.float32
    expected = by_hand.resnet18(weights, IMAGES)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_one_image_of_ordinary_size(model):
    _, weights = model
    x = np.random.default_rng(1).standard_normal((1, 3, 224, 224))
    expected = ops.run(arch.build(weights)[0], x)["logits"]
    np.testing.assert_allclose(by_hand.resnet18(weights, x), expected, rtol=0, atol=1e-12 * np.abs(expected).max())


def test_it_stays_about_sixty_lines():
    tree = ast.parse(inspect.getsource(by_hand))
    docstrings = sum(
        body[0].end_lineno - body[0].lineno + 1
        for body in (node.body for node in ast.walk(tree) if isinstance(node, ast.Module | ast.FunctionDef))
        if isinstance(body[0], ast.Expr)
    )
    lines = [line for line in inspect.getsource(by_hand).splitlines() if line.strip() and not line.startswith("#")]
    assert len(lines) - docstrings <= 65
