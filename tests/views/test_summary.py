"""The table of torchsummary, digit for digit."""

from __future__ import annotations

import re

import numpy as np
import pytest

import npresnet
from npresnet import arch, weights
from npresnet.model.interpreting import describe
from npresnet.views.summary import summary
from tests.support.torchvision_import import import_torchvision

RESNET18_END = """\
================================================================
Total params: 11,689,512
Trainable params: 11,689,512
Non-trainable params: 0
----------------------------------------------------------------
Input size (MB): 36.75
Forward/backward pass size (MB): 4018.74
Params size (MB): 44.59
Estimated Total Size (MB): 4100.08
----------------------------------------------------------------"""
RESNET18_START = """\
----------------------------------------------------------------
        Layer (type)               Output Shape         Param #
================================================================
            Conv2d-1         [64, 64, 112, 112]           9,408
       BatchNorm2d-2         [64, 64, 112, 112]             128
              ReLU-3         [64, 64, 112, 112]               0
         MaxPool2d-4           [64, 64, 56, 56]               0
            Conv2d-5           [64, 64, 56, 56]          36,864
       BatchNorm2d-6           [64, 64, 56, 56]             128
              ReLU-7           [64, 64, 56, 56]               0
            Conv2d-8           [64, 64, 56, 56]          36,864
       BatchNorm2d-9           [64, 64, 56, 56]             128
             ReLU-10           [64, 64, 56, 56]               0
       BasicBlock-11           [64, 64, 56, 56]               0"""


def numbers(table: str) -> dict[str, float]:
    """{title: number} of the lines after the rows."""
    return {title: float(value.replace(",", "")) for title, value in re.findall(r"^([A-Z].*): (.*)$", table, re.M)}


def shortcut_tensors(name: str) -> dict[str, np.ndarray]:
    """The tensors of a hand-written network whose projections are called `shortcut`."""
    return {key.replace("downsample", "shortcut"): array for key, array in arch.random_tensors(name).items()}


def test_resnet18():
    table = summary(describe("resnet18").network, (3, 224, 224), 64)
    assert table.startswith(RESNET18_START)
    assert table.endswith(RESNET18_END)


def test_resnet50():
    found = numbers(summary(describe("resnet50").network, (3, 224, 224), 64))
    assert found["Total params"] == found["Trainable params"] == 25557032
    assert found["Forward/backward pass size (MB)"] == 18339.74
    assert found["Params size (MB)"] == 97.49
    assert found["Estimated Total Size (MB)"] == 18473.98


def test_hand_written_resnet50_strides_on_the_first_1x1(tmp_path):
    weights.write_npz(tmp_path / "hand.npz", shortcut_tensors("resnet50"), {})
    with npresnet.load(tmp_path / "hand.npz", threads=1) as model:
        found = numbers(model.summary((3, 224, 224), batch_size=64))
    assert found["Total params"] == 25557032
    assert found["Forward/backward pass size (MB)"] == 17567.99
    assert found["Estimated Total Size (MB)"] == 17702.23


def test_the_caller_can_move_the_stride(tmp_path):
    weights.write_npz(tmp_path / "hand.npz", shortcut_tensors("resnet50"), {})
    with npresnet.load(tmp_path / "hand.npz", threads=1, stride_on="3x3") as model:
        assert numbers(model.summary((3, 224, 224), 64))["Forward/backward pass size (MB)"] == 18339.74


@pytest.mark.parametrize("name", ["resnet18", "resnext50_32x4d", "wide_resnet50_2"])
def test_rows_are_those_of_torchvision_s_modules(name):
    """Every call of a module except containers, in the order in which calls end, as seen by torchsummary's hooks."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    module = getattr(import_torchvision().models, name)(weights=None).eval()
    rows: list[tuple[str, list[int], int]] = []

    def keep(part, _inputs, result):
        own = sum(parameter.numel() for parameter in part.parameters(recurse=False))
        rows.append((type(part).__name__, list(result.shape), own))

    for part in module.modules():
        if part is not module and not isinstance(part, torch.nn.Sequential):
            part.register_forward_hook(keep)
    with torch.inference_mode():
        module(torch.zeros(2, 3, 64, 64))

    shown = summary(describe(name).network, (3, 64, 64), 2).split("=" * 64)[1].strip("\n").splitlines()
    assert len(shown) == len(rows)
    for number, (line, (kind, shape, own)) in enumerate(zip(shown, rows, strict=True), 1):
        assert line == f"{f'{kind}-{number}':>20}  {shape!s:>25} {own:>15,}"


def test_a_batch_of_any_size_counts_one_image():
    network = describe("resnet18").network
    any_size, one = (summary(network, (3, 224, 224), batch_size) for batch_size in (-1, 1))
    assert "[-1, 64, 112, 112]" in any_size
    assert numbers(any_size) == numbers(one)


def test_rows_show_a_bottleneck_s_order():
    rows = [line.split("-")[0].strip() for line in summary(describe("resnet50").network, (3, 64, 64)).splitlines()]
    start = rows.index("MaxPool2d") + 1
    assert rows[start : start + 12] == [
        *("Conv2d", "BatchNorm2d", "ReLU", "Conv2d", "BatchNorm2d", "ReLU", "Conv2d", "BatchNorm2d"),
        *("Conv2d", "BatchNorm2d", "ReLU", "Bottleneck"),  # the projection, then the sum's ReLU
    ]


@pytest.mark.parametrize("size", [(3, 224), (3, 0, 224), (224, 224, 3), (3, 224, 224, 1), (3, 2.5, 9), "abc", 3])
def test_invalid_image_sizes_are_refused(size):
    with pytest.raises(npresnet.ShapeError):
        summary(describe("resnet10").network, size)


@pytest.mark.parametrize("batch_size", [0, -2, 1.5, "2", None, True])
def test_invalid_batch_sizes_are_refused(batch_size):
    with pytest.raises(npresnet.ShapeError, match="batch_size"):
        summary(describe("resnet10").network, (3, 64, 64), batch_size)
