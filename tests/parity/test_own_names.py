"""Hand-written ResNets with names of their own, read by shapes and order, against modules of PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet import arch
from npresnet.errors import ArchitectureError
from tests.support import torch_run
from tests.support.reference import randomised, run_double
from tests.support.torch_own_names import Averaged, Bare, Named, Nested, Numbered

NETS = {
    "a Sequential branch": lambda: Nested(Numbered),
    "bare projections": lambda: Nested(Bare, widths=(16, 16, 24, 40)),
    "bottlenecks": lambda: Nested(Named, widths=(8, 16, 32, 64), depths=(1, 2, 1)),
    "average pools": lambda: Nested(Averaged, depths=(1, 2, 1)),
    "blocks in one list": lambda: Nested(Numbered, flat=True),
    "a 3x3 stem": lambda: Nested(Bare, stem=3, classes=10),
    "two 3x3 in the stem": lambda: Nested(Averaged, stem=(3, 3)),
    "one block a stage": lambda: Nested(Numbered, depths=(1, 1, 1)),
}


WORDS = "bottlenecks"  # whose modules' names sort in another order than that of the network


@pytest.mark.parametrize(
    ("name", "order"), [*((name, "written") for name in NETS), *((name, "sorted") for name in NETS if name != WORDS)]
)
def test_names_of_no_home(name, order):
    """Numbers and letters tell the order of files that are sorted by dtype and name, as safetensors are."""
    module, tensors = randomised(NETS[name]())
    if order == "sorted":
        tensors = dict(sorted(tensors.items(), key=lambda item: (item[1].dtype.kind == "f", item[0])))
    network, config = arch.build(tensors)
    x = np.random.default_rng(3).standard_normal((2, 3, 45, 59)).astype(np.float32)
    expected = run_double(module, x)
    found = torch_run.run(network, x)["logits"]
    assert np.abs(found - expected).max() < 1e-9 * np.abs(expected).max()
    assert config.value("home") == "hand-written"
    assert config["max_pool"].alternatives
    assert config.value("labels") is None


def test_sorted_words_tell_no_order():
    _, tensors = randomised(NETS[WORDS]())
    with pytest.raises(ArchitectureError, match="unknown"):
        arch.build(dict(sorted(tensors.items())))


def test_a_list_of_numbered_modules_with_the_classifier_inside():
    from torch import nn

    parts = Nested(Bare)
    module = nn.Sequential(parts.entry, *parts.trunk, nn.AdaptiveAvgPool2d(1), nn.Flatten(), parts.answer)
    module, tensors = randomised(module)
    tensors = {f"net.{name}": array for name, array in tensors.items()}
    network, config = arch.build(tensors)
    x = np.random.default_rng(4).standard_normal((1, 3, 70, 41)).astype(np.float32)
    expected = run_double(module, x)
    assert np.abs(torch_run.run(network, x)["logits"] - expected).max() < 1e-9 * np.abs(expected).max()
    assert config.value("num_classes") == 6
