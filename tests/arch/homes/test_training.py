"""What training leaves in a file is left out; other tensors of similar names are not."""

from __future__ import annotations

import re

import numpy as np
import pytest

from npresnet import arch
from npresnet.errors import ArchitectureError
from tests.arch.fabric import basic_net


def number(size: int = 1) -> np.ndarray:
    return np.ones(size, np.float32)


@pytest.mark.parametrize(
    "name",
    [
        *("criterion.weight", "loss_fn.pos_weight", "model_loss.weight", "class_weights", "pos_weight", "n_averaged"),
        *("val_acc.correct", "train_metrics.f1.tp", "layer1.0.conv1.total_ops", "total_params"),
    ],
)
def test_what_training_left_is_left_out(name):
    tensors = basic_net() | {name: np.float32(3) if "n_av" in name else number(3)}
    network, config = arch.build(tensors)
    assert dict(network.outputs) == {"logits": "fc"}
    assert config["ignored"].value == ".".join(name.split(".")[:2])


@pytest.mark.parametrize("name", ["epoch", "iteration", "global_step"])
def test_counters_are_whole_numbers(name):
    _, config = arch.build(basic_net() | {name: np.int64(3)})
    assert config["ignored"].value == name
    with pytest.raises(ArchitectureError, match=re.escape(f"{name} ()")):
        arch.build(basic_net() | {name: np.float32(3)})


@pytest.mark.parametrize("name", ["gate.weight", "glossary.weight", "lossless.scale", "accent.weight", "steps"])
def test_nothing_else_is_left_out(name):
    with pytest.raises(ArchitectureError, match=re.escape(f"{name} (3,)")):
        arch.build(basic_net() | {name: number(3)})
