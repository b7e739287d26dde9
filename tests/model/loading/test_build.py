"""build: reproducible weights, the architecture's options, and refused arguments."""

from __future__ import annotations

import numpy as np
import pytest

import npresnet
from tests.support.loaded import DILATED
from tests.support.small import ARCH, batch


def test_build_is_reproducible():
    x = batch(1)
    logits = [npresnet.build(ARCH, num_classes=10, seed=seed, threads=1)(x) for seed in (3, 3, 4)]
    np.testing.assert_array_equal(logits[0], logits[1])
    assert (logits[0] != logits[2]).any()


def test_build_takes_options():
    with npresnet.build("resnet14", num_classes=3, replace_stride_with_dilation=DILATED, threads=1) as model:
        assert model.config["replace_stride_with_dilation"].value == DILATED
        assert model.features(batch(1, size=64), ["layer4"])["layer4"].shape == (1, 2048, 8, 8)
    with npresnet.build("resnet14", zero_init_residual=True, threads=1) as model:
        assert (model.network["layer1.0.bn3"].params["weight"] == 0).all()


def test_build_refuses_unknown_names_and_options():
    with pytest.raises(npresnet.ArchitectureError, match="Did you mean resnet18"):
        npresnet.build("resnet19")
    with pytest.raises(npresnet.ArchitectureError, match="'depth'"):
        npresnet.build("resnet18", depth=3)


def test_more_classes_than_fit_in_memory():
    with pytest.raises(npresnet.DeviceError, match="num_classes=1000000000000 needs more memory"):
        npresnet.build("resnet18", num_classes=10**12)
