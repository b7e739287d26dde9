"""CIFAR ResNets in PyTorch, written from the paper and from the checkpoints' names.

He et al., Deep Residual Learning for Image Recognition, section 4.2: a 3x3 convolution, three stages of n basic blocks
with 16, 32, 64 channels, global average pooling, one linear layer; depth 6n + 2.
"""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="torch is not installed")
nn = torch.nn

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)


class ZeroPad(nn.Module):
    """Option A: every second row and column, zero channels on both sides."""

    def __init__(self, pad: int):
        super().__init__()
        self.pad = pad

    def forward(self, x):
        x = x[:, :, ::2, ::2]
        zeros = x.new_zeros(x.shape[0], self.pad, *x.shape[2:])
        return torch.cat([zeros, x, zeros], dim=1)


def project(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    """Option B: a 1x1 convolution with BatchNorm."""
    conv = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels))


class BasicBlock(nn.Module):
    """`custom` is the projection's name, "downsample" or "shortcut", or "A" for none."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, custom: str):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.custom = custom
        if stride != 1 or in_channels != out_channels:
            if custom == "A":
                self.pad = ZeroPad((out_channels - in_channels) // 2)
            else:
                self.add_module(custom, project(in_channels, out_channels, stride))

    def forward(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        shortcut = getattr(self, "pad" if self.custom == "A" else self.custom, None)
        return torch.relu(y + (x if shortcut is None else shortcut(x)))


class CifarResNet(nn.Module):
    """`blocks` a stage, from `channels` on; the classifier is called `head`."""

    def __init__(self, blocks: tuple[int, ...], *, channels: int = 16, custom: str = "A", head: str = "linear"):
        super().__init__()
        self.conv1 = nn.Conv2d(3, channels, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        width, self.stages = channels, [f"layer{i + 1}" for i in range(len(blocks))]
        for i, (name, depth) in enumerate(zip(self.stages, blocks, strict=True)):
            out = channels * 2**i
            strides = [2 if i and not j else 1 for j in range(depth)]
            widths = [width] + [out] * (depth - 1)
            self.add_module(
                name, nn.Sequential(*(BasicBlock(w, out, s, custom) for w, s in zip(widths, strides, strict=True)))
            )
            width = out
        self.head = head
        self.add_module(head, nn.Linear(width, 10))

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        for name in self.stages:
            x = getattr(self, name)(x)
        return getattr(self, self.head)(x.mean(dim=(2, 3)))


def load_option_a(path: Path) -> CifarResNet:
    """The network of a checkpoint whose names have the prefix `module.`, read by PyTorch itself."""
    found = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    state = {name.removeprefix("module."): tensor for name, tensor in found.items()}
    blocks = tuple(len({n.split(".")[1] for n in state if n.startswith(f"layer{i}.")}) for i in (1, 2, 3))
    module = CifarResNet(blocks)
    module.load_state_dict(state)
    return module.eval()


def read_images(archive: Path, every: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Every so many of the 10,000 test images (N, 3, 32, 32) float32, normalised, and their classes (N,).

    The archive goes class by class, so that each class has its share.
    """
    pixels, labels = [], []
    with tarfile.open(archive) as tar:
        members = [member for member in tar if member.isfile() and member.name.lower().endswith(".jpg")]
        for member in members[::every]:
            data = tar.extractfile(member).read()
            pixels.append(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
            labels.append(CLASSES.index(Path(member.name).parent.name))
    x = np.stack(pixels).astype(np.float32) / np.float32(255)  # (N, 32, 32, 3)
    x = (x - MEAN) / STD
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2)), np.array(labels)
