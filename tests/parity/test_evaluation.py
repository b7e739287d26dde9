"""`model.evaluate` on CIFAR's test JPEGs: the very counts that PyTorch gives."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest

import npresnet
from tests.support import torch_cifar
from tests.support.reference import run_module

EVERY = 25


@pytest.fixture(scope="module")
def folder(data_dir, tmp_path_factory) -> Path:
    """400 of the 10,000, 40 of each class, as class folders."""
    root = tmp_path_factory.mktemp("cifar")
    with tarfile.open(data_dir / "cifar10" / "test.tar") as tar:
        members = [member for member in tar if member.isfile() and member.name.lower().endswith(".jpg")]
        for member in members[::EVERY]:
            path = root / Path(member.name).parent.name / Path(member.name).name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(tar.extractfile(member).read())
    return root


@pytest.mark.parametrize("classes", [None, "sorted"])
def test_the_counts_are_pytorch_s(data_dir, folder, cifar_checkpoints, classes):
    x, labels = torch_cifar.read_images(data_dir / "cifar10" / "test.tar", every=EVERY)
    logits = run_module(torch_cifar.load_option_a(cifar_checkpoints[20]), x)
    ranking = np.argsort(-logits, axis=1)
    expected = np.zeros((10, 10), int)
    np.add.at(expected, (labels, ranking[:, 0]), 1)

    with npresnet.load(cifar_checkpoints[20]) as model:
        found = model.evaluate(folder, classes=classes)
    assert (found.images, found.errors) == (400, 0)
    np.testing.assert_array_equal(found.confusion, expected)
    assert found.correct5 == int((ranking[:, :5] == labels[:, None]).any(axis=1).sum())
    assert 70 < found.top1 < 90
