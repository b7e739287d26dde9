"""Random weights: names, shapes and distributions of torchvision, the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet import arch
from npresnet.arch.initialiser import Initialiser
from npresnet.arch.source import CHANNEL_AXES, Wanted
from npresnet.errors import ArchitectureError


def test_the_seed_decides():
    one, same, other = (arch.random_tensors("resnet10", num_classes=3, seed=seed) for seed in (5, 5, 6))
    assert all(np.array_equal(one[name], same[name]) for name in one)
    assert not np.array_equal(one["fc.weight"], other["fc.weight"])
    assert not np.array_equal(one["conv1.weight"], other["conv1.weight"])


def test_distributions():
    tensors = arch.random_tensors("resnet50", seed=1)
    conv = tensors["layer3.1.conv2.weight"]  # (256, 256, 3, 3)
    assert conv.std() == pytest.approx(np.sqrt(2 / (256 * 9)), rel=0.01)
    assert abs(conv.mean()) < 1e-4
    stem = tensors["conv1.weight"]  # (64, 3, 7, 7): fan_out, so 64 * 49 and not 3 * 49
    assert stem.std() == pytest.approx(np.sqrt(2 / (64 * 49)), rel=0.05)
    fc = tensors["fc.weight"]  # (1000, 2048)
    assert np.abs(fc).max() <= 1 / np.sqrt(2048)
    assert fc.std() == pytest.approx(1 / np.sqrt(3 * 2048), rel=0.01)
    assert np.abs(tensors["fc.bias"]).max() > 0.9 / np.sqrt(2048)
    assert all(array.dtype == np.float32 for name, array in tensors.items() if not name.endswith("tracked"))
    assert tensors["bn1.num_batches_tracked"].dtype == np.int64


def test_grouped_convolutions_have_the_fan_of_all_filters():
    conv = arch.random_tensors("resnext50_32x4d", num_classes=2)["layer3.1.conv2.weight"]  # (512, 16, 3, 3)
    assert conv.std() == pytest.approx(np.sqrt(2 / (512 * 9)), rel=0.02)


def test_nets_for_cifar_have_the_fan_of_one_filter():
    conv = arch.random_tensors("cifar_resnet20")["layer3.0.conv1.weight"]  # (64, 32, 3, 3)
    assert conv.std() == pytest.approx(np.sqrt(2 / (32 * 9)), rel=0.02)


def test_batch_norms_start_as_the_identity():
    tensors = arch.random_tensors("resnet10", num_classes=2)
    starts = {"weight": 1, "bias": 0, "running_mean": 0, "running_var": 1, "num_batches_tracked": 0}
    norms = [name for name in tensors if ".bn" in name or name.startswith("bn1.") or "downsample.1." in name]
    assert len(norms) == 5 * 12
    assert [name for name in norms if (tensors[name] != starts[name.rpartition(".")[2]]).any()] == []


def test_a_tensor_without_a_rule_of_initialisation_is_refused():
    with pytest.raises(ArchitectureError, match="anchors has no rule"):
        Initialiser(0).take(Wanted("anchors", (3,), CHANNEL_AXES, None, str))


def test_zero_init_residual():
    tensors = arch.random_tensors("resnet50", num_classes=2, zero_init_residual=True)
    zero = [name for name, array in tensors.items() if name.endswith("weight") and not array.any()]
    assert zero == [f"layer{i + 1}.{j}.bn3.weight" for i, depth in enumerate((3, 4, 6, 3)) for j in range(depth)]
    basic = arch.random_tensors("resnet10", num_classes=2, zero_init_residual=True)
    assert not basic["layer2.0.bn2.weight"].any()
    assert basic["layer2.0.bn1.weight"].all()


def test_groups_and_widths():
    tensors = arch.random_tensors("resnet50", num_classes=2, groups=32, width_per_group=4)
    expected = arch.random_tensors("resnext50_32x4d", num_classes=2)
    assert {name: array.shape for name, array in tensors.items()} == {n: a.shape for n, a in expected.items()}
    _, config = arch.build(tensors, arch="resnet50", options={"groups": 32, "width_per_group": 4})
    assert config["arch"].value == "resnet50"


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet18", {"groups": 2}),
        ("resnet18", {"width_per_group": 128}),
        ("resnet51", {}),
        ("resnet", {}),
        ("resnet18", {"num_classes": 0}),
        ("resnet18", {"num_classes": None}),
        ("resnet18", {"seed": -1}),
        ("resnet18", {"seed": "a"}),
        ("resnet18", {"norm_layer": None, "depth": 3}),
        ("resnet50", {"layers": [1, 1, 1, 1]}),
        ("resnet50", {"zero_init_residual": 1}),
        (None, {}),
    ],
    ids=str,
)
def test_invalid_arguments_are_refused(name, options):
    with pytest.raises(ArchitectureError):
        arch.random_tensors(name, **options)
