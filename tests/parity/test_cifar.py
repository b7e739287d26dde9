"""Real weights on real images: CIFAR ResNet-20 and -44 predict what PyTorch does, on test images of every class."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest

from npresnet import arch, cpu, passes, weights
from tests.support import torch_cifar
from tests.support.float_error import assert_as_exact_as
from tests.support.reference import run_double, run_module

BATCH = 500


@pytest.fixture(scope="module")
def images(data_dir):
    x, labels = torch_cifar.read_images(data_dir / "cifar10" / "test.tar", every=5)
    assert x.shape == (2_000, 3, 32, 32)
    assert (np.bincount(labels) == 200).all()
    return x, labels


@pytest.mark.parametrize(("depth", "every", "errors"), [(20, 1, 391), (44, 4, 104)])
def test_every_prediction_is_pytorch_s(depth, every, errors, images, cifar_checkpoints):
    x, labels = (array[::every] for array in images)
    network, config = arch.build(weights.read(cifar_checkpoints[depth]).tensors)
    assert (config.value("arch"), config.value("shortcut")) == (f"cifar_resnet{depth}", "A")

    with closing(cpu.compile(passes.optimize(network), threads=2)) as executable:
        ours = np.concatenate([executable(batch)["logits"] for batch in batches(x)])
    module = torch_cifar.load_option_a(cifar_checkpoints[depth])
    theirs = np.concatenate([run_module(module, batch) for batch in batches(x)])

    np.testing.assert_array_equal(ours.argmax(axis=1), theirs.argmax(axis=1))
    assert int((ours.argmax(axis=1) != labels).sum()) == errors
    assert_as_exact_as(ours[:64], theirs[:64], run_double(module, x[:64]))


def batches(x: np.ndarray) -> list[np.ndarray]:
    return [x[start : start + BATCH] for start in range(0, len(x), BATCH)]
