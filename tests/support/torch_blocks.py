"""Small networks in PyTorch whose blocks differ from torchvision's, written from their papers and their files' names."""

from __future__ import annotations

import pytest

from tests.support.reference import arrays_of

torch = pytest.importorskip("torch", reason="torch is not installed")
nn = torch.nn


def settled(module, *, seed: int = 0):
    """The module in eval mode, every norm, slope and bias of it random, and its state_dict as {name: ndarray}."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, values in module.state_dict().items():
            owner, _, role = name.rpartition(".")
            if role == "running_var":
                values.uniform_(0.5, 2.0, generator=generator)
            elif role in ("running_mean", "bias") or "embedding" in role:
                values.normal_(0, 0.3, generator=generator)
            elif role == "weight" and values.ndim == 1:
                values.uniform_(0.6, 1.4, generator=generator)
    module.eval()
    return module, arrays_of(module)


def conv(inside: int, outside: int, size: int, stride: int = 1, **options):
    return nn.Conv2d(inside, outside, size, stride, size // 2, bias=False, **options)


class ChannelGate(nn.Module):
    """CBAM, equation 2, with its authors' names."""

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.mlp = nn.Sequential(nn.Flatten(), nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))

    def forward(self, x):
        gate = torch.sigmoid(self.mlp(x.mean((2, 3))) + self.mlp(x.amax((2, 3))))
        return x * gate[:, :, None, None]


class SpatialGate(nn.Module):
    """CBAM, equation 3: the maxima come first."""

    def __init__(self):
        super().__init__()
        self.spatial = nn.Module()
        self.spatial.conv, self.spatial.bn = conv(2, 1, 7), nn.BatchNorm2d(1)

    def forward(self, x):
        maps = torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)
        return x * torch.sigmoid(self.spatial.bn(self.spatial.conv(maps)))


class Cbam(nn.Module):
    def __init__(self, channels: int, spatial: bool = True):
        super().__init__()
        self.ChannelGate = ChannelGate(channels, 3)
        self.SpatialGate = SpatialGate() if spatial else None

    def forward(self, x):
        x = self.ChannelGate(x)
        return x if self.SpatialGate is None else self.SpatialGate(x)


class Ca(nn.Module):
    """CBAM's gate of channels in the names of most others."""

    def __init__(self, channels: int):
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(channels, 3, 1, bias=False), nn.Conv2d(3, channels, 1, bias=False)

    def forward(self, x):
        mean, most = x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
        return torch.sigmoid(self.fc2(torch.relu(self.fc1(mean))) + self.fc2(torch.relu(self.fc1(most))))


class Sa(nn.Module):
    """Its gate of positions: the means come first."""

    def __init__(self):
        super().__init__()
        self.conv1 = conv(2, 1, 7)

    def forward(self, x):
        return torch.sigmoid(self.conv1(torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)))


class Ibn(nn.Module):
    """IBN-Net, section 3.3: InstanceNorm of one half of the channels, BatchNorm of the other."""

    def __init__(self, channels: int):
        super().__init__()
        self.half = channels // 2
        self.IN = nn.InstanceNorm2d(self.half, affine=True)
        self.BN = nn.BatchNorm2d(channels - self.half)

    def forward(self, x):
        return torch.cat([self.IN(x[:, : self.half]), self.BN(x[:, self.half :])], 1)


class Block(nn.Module):
    """A BasicBlock with any of: Ibn for bn1, InstanceNorm after the addition, CBAM by either's names."""

    def __init__(self, inside: int, width: int, stride: int, kind: str, last: bool):
        super().__init__()
        self.conv1, self.conv2 = conv(inside, width, 3, stride), conv(width, width, 3)
        self.bn1 = Ibn(width) if kind == "ibn a" else nn.BatchNorm2d(width)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = None
        if stride > 1 or inside != width:
            self.downsample = nn.Sequential(nn.Conv2d(inside, width, 1, stride, bias=False), nn.BatchNorm2d(width))
        self.IN = nn.InstanceNorm2d(width, affine=True) if kind == "ibn b" and last else None
        self.cbam = Cbam(width, "channels" not in kind) if kind.startswith("cbam") else None
        if kind == "ca, sa":
            self.ca, self.sa = Ca(width), Sa()

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        if self.cbam is not None:
            y = self.cbam(y)
        if hasattr(self, "ca"):
            y = self.ca(y) * y
            y = self.sa(y) * y
        y = y + (x if self.downsample is None else self.downsample(x))
        return torch.relu(y if self.IN is None else self.IN(y))


class Net(nn.Module):
    """torchvision's stem, two stages of two blocks, a classifier."""

    def __init__(self, kind: str, classes: int = 5):
        super().__init__()
        self.conv1 = conv(3, 8, 7, 2)
        self.bn1 = nn.InstanceNorm2d(8, affine=True) if kind == "ibn b" else nn.BatchNorm2d(8)
        self.layer1 = nn.Sequential(Block(8, 8, 1, kind, False), Block(8, 8, 1, kind, True))
        self.layer2 = nn.Sequential(Block(8, 12, 2, kind, False), Block(12, 12, 1, kind, True))
        self.fc = nn.Linear(12, classes)

    def forward(self, x):
        x = nn.functional.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        return self.fc(self.layer2(self.layer1(x)).mean((2, 3)))
