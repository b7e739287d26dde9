"""Small networks in PyTorch whose blocks differ from torchvision's, written from their papers and files' names."""

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


class AttentionPool(nn.Module):
    """CLIP, section 2.4: one query, the mean of the map with its position, in heads of 64 channels."""

    def __init__(self, side: int, channels: int, out_features: int):
        super().__init__()
        self.positional_embedding = nn.Parameter(torch.randn(side * side + 1, channels) / channels**0.5)
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(channels, channels) for _ in range(3))
        self.c_proj = nn.Linear(channels, out_features)

    def forward(self, x):
        tokens = x.flatten(2).transpose(1, 2)
        tokens = torch.cat([tokens.mean(1, keepdim=True), tokens], 1) + self.positional_embedding
        split = lambda y: y.unflatten(2, (-1, 64)).transpose(1, 2)
        q, k, v = split(self.q_proj(tokens[:, :1])), split(self.k_proj(tokens)), split(self.v_proj(tokens))
        weights = torch.softmax(q @ k.transpose(2, 3) / 8, dim=3)
        return self.c_proj((weights @ v).flatten(1))


class ClipBlock(nn.Module):
    """Strides in average pools, also before the projection, whose pool is called -1."""

    def __init__(self, inside: int, width: int, stride: int):
        super().__init__()
        self.conv1, self.conv2, self.conv3 = conv(inside, width, 1), conv(width, width, 3), conv(width, 4 * width, 1)
        self.bn1, self.bn2, self.bn3 = nn.BatchNorm2d(width), nn.BatchNorm2d(width), nn.BatchNorm2d(4 * width)
        self.avgpool = nn.AvgPool2d(stride)
        self.downsample = None
        if stride > 1 or inside != 4 * width:
            parts = {"-1": nn.AvgPool2d(stride), "0": conv(inside, 4 * width, 1), "1": nn.BatchNorm2d(4 * width)}
            self.downsample = nn.Sequential()
            for name, part in parts.items():
                self.downsample.add_module(name, part)

    def forward(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        y = self.avgpool(torch.relu(self.bn2(self.conv2(y))))
        y = self.bn3(self.conv3(y))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class ClipNet(nn.Module):
    """A stem of three convolutions and an average pool, four stages, an attention pool."""

    def __init__(self, width: int = 8, size: int = 64, out_features: int = 6):
        super().__init__()
        half = width // 2
        self.conv1, self.conv2, self.conv3 = conv(3, half, 3, 2), conv(half, half, 3), conv(half, width, 3)
        self.bn1, self.bn2, self.bn3 = nn.BatchNorm2d(half), nn.BatchNorm2d(half), nn.BatchNorm2d(width)
        inside = width
        for i, depth in enumerate((1, 2, 1, 1)):
            outside = width * 2**i
            sizes = [(inside, 2 if i else 1)] + [(4 * outside, 1)] * (depth - 1)
            stage = nn.Sequential(*(ClipBlock(before, outside, stride) for before, stride in sizes))
            self.add_module(f"layer{i + 1}", stage)
            inside = 4 * outside
        self.attnpool = AttentionPool(size // 32, inside, out_features)

    def forward(self, x):
        for i in (1, 2, 3):
            x = torch.relu(getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(x)))
        x = nn.functional.avg_pool2d(x, 2)
        return self.attnpool(self.layer4(self.layer3(self.layer2(self.layer1(x)))))


class FaceBlock(nn.Module):
    """Improved Residual Networks: norms before the convolutions, no activation after the addition."""

    def __init__(self, inside: int, width: int, stride: int):
        super().__init__()
        self.bn1, self.bn2, self.bn3 = nn.BatchNorm2d(inside), nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        self.conv1, self.conv2 = conv(inside, width, 3), conv(width, width, 3, stride)
        self.prelu = nn.PReLU(width)
        self.downsample = None
        if stride > 1 or inside != width:
            self.downsample = nn.Sequential(nn.Conv2d(inside, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x):
        y = self.bn3(self.conv2(self.prelu(self.bn2(self.conv1(self.bn1(x))))))
        return y + (x if self.downsample is None else self.downsample(x))


class FaceNet(nn.Module):
    """Four stages that stride; all positions of the last map are read by `fc`."""

    def __init__(self, size: int = 64, features: int = 6):
        super().__init__()
        self.conv1, self.bn1, self.prelu = conv(3, 8, 3), nn.BatchNorm2d(8), nn.PReLU(8)
        self.layer1 = nn.Sequential(FaceBlock(8, 8, 2), FaceBlock(8, 8, 1))
        self.layer2 = nn.Sequential(FaceBlock(8, 12, 2))
        self.layer3, self.layer4 = nn.Sequential(FaceBlock(12, 12, 2)), nn.Sequential(FaceBlock(12, 16, 2))
        self.bn2 = nn.BatchNorm2d(16)
        self.fc = nn.Linear(16 * (size // 16) ** 2, features)
        self.features = nn.BatchNorm1d(features)

    def forward(self, x):
        x = self.prelu(self.bn1(self.conv1(x)))
        x = self.bn2(self.layer4(self.layer3(self.layer2(self.layer1(x)))))
        return self.features(self.fc(x.flatten(1)))
