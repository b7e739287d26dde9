"""Networks for clips in PyTorch: torchvision's, and plain modules after the other repositories' descriptions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from tests.support.torchvision_import import import_torchvision

torch = pytest.importorskip("torch", reason="torch is not installed")
nn, F = torch.nn, torch.nn.functional

KINDS = {
    "r3d_18": ("Conv3DSimple",) * 4,
    "mc3_18": ("Conv3DSimple",) + ("Conv3DNoTemporal",) * 3,
    "r2plus1d_18": ("Conv2Plus1D",) * 4,
}


def torchvision_clips(name: str, layers: Sequence[int] = (2, 2, 2, 2), classes: int = 7):
    """torchvision's network of that name, by default of its depth."""
    import_torchvision()
    from torchvision.models.video import resnet

    stem = resnet.R2Plus1dStem if name == "r2plus1d_18" else resnet.BasicStem
    kinds = [getattr(resnet, kind) for kind in KINDS[name]]
    return resnet.VideoResNet(resnet.BasicBlock, kinds, list(layers), stem, num_classes=classes)


def randomised(module, shape: Sequence[int], seed: int = 0):
    """In eval mode, with random BatchNorms whose statistics are near those of random clips of this shape."""
    torch.manual_seed(seed)
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    with torch.no_grad():
        for norm in norms:
            norm.weight.uniform_(0.5, 1.5)
            norm.bias.uniform_(-0.3, 0.3)
            norm.momentum = 1.0
        module.train()
        module(torch.randn(tuple(shape)))
        for norm in norms:
            norm.running_var *= torch.empty_like(norm.running_var).uniform_(0.7, 1.4)
    return module.eval()


def state_of(module) -> dict[str, np.ndarray]:
    return {name: tensor.numpy().copy() for name, tensor in module.state_dict().items()}


def run(module, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(in float64, in float32)"""
    with torch.no_grad():
        rounded = module.float()(torch.from_numpy(x)).numpy()
        exact = module.double()(torch.from_numpy(x).double()).numpy()
    return exact, rounded


class Hara(nn.Module):
    """3D-ResNets-PyTorch; with `dilated` and one channel MedicalNet's body, which has no head."""

    def __init__(
        self,
        layers: Sequence[int],
        *,
        bottleneck: bool = False,
        shortcut: str = "B",
        width: int = 8,
        channels: int = 3,
        stem: tuple[int, int] = (7, 1),
        max_pool: bool = True,
        dilated: bool = False,
        classes: int | None = 6,
    ):
        super().__init__()
        taps, stride = stem
        self.conv1 = nn.Conv3d(channels, width, (taps, 7, 7), (stride, 2, 2), (taps // 2, 3, 3), bias=False)
        self.bn1 = nn.BatchNorm3d(width)
        self.max_pool = max_pool
        made = width
        for i, depth in enumerate(layers):
            step, dilation = (1, (1, 1, 2, 4)[i]) if dilated and i > 1 else (2 if i else 1, 1)
            blocks = []
            for j in range(depth):
                block = HaraBlock(made, width * 2**i, step if j == 0 else 1, dilation, bottleneck, shortcut)
                made, blocks = block.out_channels, [*blocks, block]
            setattr(self, f"layer{i + 1}", nn.Sequential(*blocks))
        self.stages = len(layers)
        if classes is not None:
            self.fc = nn.Linear(made, classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.max_pool3d(x, 3, 2, 1) if self.max_pool else x
        for i in range(self.stages):
            x = getattr(self, f"layer{i + 1}")(x)
        x = x.mean((2, 3, 4))
        return self.fc(x) if hasattr(self, "fc") else x


class HaraBlock(nn.Module):
    """A block with its shortcut: a projection (B), or average pool of one position and zeros at the end (A)."""

    def __init__(self, channels: int, planes: int, stride: int, dilation: int, bottleneck: bool, shortcut: str):
        super().__init__()
        self.out_channels = planes * (4 if bottleneck else 1)
        kernels = [(1, 1), (3, stride), (1, 1)] if bottleneck else [(3, stride), (3, 1)]
        widths = [planes, planes, self.out_channels] if bottleneck else [planes, planes]
        self.count, self.stride, before = len(widths), stride, channels
        for k, ((size, step), width) in enumerate(zip(kernels, widths, strict=True), start=1):
            padding, spread = (dilation, dilation) if size == 3 else (0, 1)
            setattr(self, f"conv{k}", nn.Conv3d(before, width, size, step, padding, spread, bias=False))
            setattr(self, f"bn{k}", nn.BatchNorm3d(width))
            before = width
        self.changes = stride != 1 or channels != self.out_channels
        if self.changes and shortcut == "B":
            conv = nn.Conv3d(channels, self.out_channels, 1, stride, bias=False)
            self.downsample = nn.Sequential(conv, nn.BatchNorm3d(self.out_channels))

    def forward(self, x):
        y = x
        for k in range(1, self.count + 1):
            y = getattr(self, f"bn{k}")(getattr(self, f"conv{k}")(y))
            y = F.relu(y) if k < self.count else y
        if hasattr(self, "downsample"):
            x = self.downsample(x)
        elif self.changes:
            x = F.avg_pool3d(x, 1, self.stride)
            x = torch.cat([x, x.new_zeros(len(x), y.shape[1] - x.shape[1], *x.shape[2:])], 1)
        return F.relu(x + y)


def detect_and_track(
    layers: Sequence[int], *, bottleneck: bool = False, width: int = 8, taps: int = 3, seed: int = 0
) -> dict[str, np.ndarray]:
    """Random tensors of a body in the names of Caffe2."""
    rng = np.random.default_rng(seed)
    found: dict[str, np.ndarray] = {}

    def conv_affine(name: str, norm: str, channels: int, out_channels: int, kernel: tuple[int, ...]) -> int:
        scale = np.sqrt(2 / (channels * np.prod(kernel)))
        found[f"{name}_w"] = (rng.normal(size=(out_channels, channels, *kernel)) * scale).astype(np.float32)
        found[f"{norm}_s"] = rng.uniform(0.5, 1.2, out_channels).astype(np.float32)
        found[f"{norm}_b"] = rng.uniform(-0.2, 0.2, out_channels).astype(np.float32)
        return out_channels

    x = conv_affine("conv1", "res_conv1_bn", 3, width, (1, 7, 7))
    for i, depth in enumerate(layers):
        inner, outer = width * 2**i, width * 2**i * (4 if bottleneck else 1)
        time = taps if i else 1
        for j in range(depth):
            name, y = f"res{i + 2}_{j}", x
            kernels = [(1, 1, 1), (time, 3, 3), (1, 1, 1)] if bottleneck else [(time, 3, 3)] * 2
            for letter, kernel in zip("abc", kernels, strict=False):
                out_channels = outer if letter == "abc"[len(kernels) - 1] else inner
                y = conv_affine(f"{name}_branch2{letter}", f"{name}_branch2{letter}_bn", y, out_channels, kernel)
            if x != outer:
                conv_affine(f"{name}_branch1", f"{name}_branch1_bn", x, outer, (1, 1, 1))
            x = outer
    return found


def run_detect_and_track(
    tensors: dict[str, np.ndarray],
    x: np.ndarray,
    *,
    strides_time: bool = False,
    stride_1x1: bool = True,
    last: int = 5,
    dtype=torch.float64,
) -> dict[str, np.ndarray]:
    """Every block's sum, as ResNet3D.py builds the body: {"res2_0_sum": ...}."""
    p = {name: torch.from_numpy(array).to(dtype) for name, array in tensors.items()}

    def conv_affine(x, name: str, norm: str, stride: int):
        weight = p[f"{name}_w"]
        padding = [k // 2 for k in weight.shape[2:]]
        in_time = stride if strides_time and name != "conv1" else 1
        y = F.conv3d(x, weight, None, (in_time, stride, stride), padding)
        scale, shift = (p[f"{norm}_{role}"].reshape(1, -1, 1, 1, 1) for role in "sb")
        return y * scale + shift

    y = F.relu(conv_affine(torch.from_numpy(x).to(dtype), "conv1", "res_conv1_bn", 2))
    y = F.max_pool3d(y, (1, 3, 3), (1, 2, 2), (0, 1, 1))
    found = {}
    for stage in range(2, last + 1):
        block = 0
        while (name := f"res{stage}_{block}") + "_branch2a_w" in p:
            letters = [letter for letter in "abc" if f"{name}_branch2{letter}_w" in p]
            changes = p[f"{name}_branch2{letters[-1]}_w"].shape[0] != y.shape[1]
            stride = 2 if changes and stage > 2 else 1
            strided = 0 if len(letters) == 2 or stride_1x1 else 1
            branch = y
            for k, letter in enumerate(letters):
                conv = f"{name}_branch2{letter}"
                branch = conv_affine(branch, conv, f"{conv}_bn", stride if k == strided else 1)
                branch = F.relu(branch) if k < len(letters) - 1 else branch
            shortcut = conv_affine(y, f"{name}_branch1", f"{name}_branch1_bn", stride) if changes else y
            y = F.relu(branch + shortcut)
            found[f"{name}_sum"] = y.numpy()
            block += 1
    return found
