"""ResNets as people write them, with names of their own: each class is one vocabulary. Small, for tests."""

from __future__ import annotations

from itertools import chain

import torch
import torch.nn.functional as F
from torch import nn


def conv(before: int, after: int, side: int, stride: int = 1, groups: int = 1, bias: bool = False) -> nn.Conv2d:
    return nn.Conv2d(before, after, side, stride, side // 2, groups=groups, bias=bias)


class Numbered(nn.Module):
    """A branch in one Sequential, with a Dropout before its second convolution, beside a Sequential `skip`."""

    def __init__(self, before, after, stride):
        super().__init__()
        last = [conv(after, after, 3), nn.BatchNorm2d(after)]
        first = [conv(before, after, 3, stride), nn.BatchNorm2d(after)]
        self.body = nn.Sequential(*first, nn.ReLU(), nn.Dropout(0.1), *last)
        changes = before != after
        self.skip = nn.Sequential(conv(before, after, 1, stride), nn.BatchNorm2d(after)) if changes else nn.Identity()

    def forward(self, x):
        return F.relu(self.body(x) + self.skip(x))


class Bare(nn.Module):
    """Convolutions before norms, biases, and a projection called conv3 without a norm."""

    def __init__(self, before, after, stride):
        super().__init__()
        self.conv1, self.conv2 = conv(before, after, 3, stride, bias=True), conv(after, after, 3, bias=True)
        self.conv3 = conv(before, after, 1, stride, bias=True) if before != after else None
        self.bn1, self.bn2 = nn.BatchNorm2d(after), nn.BatchNorm2d(after)

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (x if self.conv3 is None else self.conv3(x)))


class Named(nn.Module):
    """A Bottleneck with groups, a projection of two modules in every stage, defined first."""

    def __init__(self, before, after, stride):
        super().__init__()
        inner, self.projects = after // 2, before != after
        if self.projects:
            self.proj_conv, self.proj_norm = conv(before, after, 1, stride), nn.BatchNorm2d(after)
        self.reduce, self.norm_a = conv(before, inner, 1), nn.BatchNorm2d(inner)
        self.spatial, self.norm_b = conv(inner, inner, 3, stride, groups=2), nn.BatchNorm2d(inner)
        self.expand, self.norm_c = conv(inner, after, 1), nn.BatchNorm2d(after)

    def forward(self, x):
        y = F.relu(self.norm_b(self.spatial(F.relu(self.norm_a(self.reduce(x))))))
        y = self.norm_c(self.expand(y))
        return F.relu(y + (self.proj_norm(self.proj_conv(x)) if self.projects else x))


class Averaged(nn.Module):
    """A projection behind an average pool, in a Sequential."""

    def __init__(self, before, after, stride):
        super().__init__()
        self.a, self.b = conv(before, after, 3, stride), conv(after, after, 3)
        self.bn_a, self.bn_b = nn.BatchNorm2d(after), nn.BatchNorm2d(after)
        pool = nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False)
        modules = (pool, conv(before, after, 1), nn.BatchNorm2d(after))
        self.side = nn.Sequential(*modules) if before != after else nn.Identity()

    def forward(self, x):
        return F.relu(self.bn_b(self.b(F.relu(self.bn_a(self.a(x))))) + self.side(x))


class Nested(nn.Module):
    """A ResNet of such blocks: a stem in a Sequential, stages in a list, and a head, all called as one likes."""

    def __init__(self, block, widths=(8, 8, 16, 32), depths=(2, 1, 2), stem=7, classes=6, flat=False):
        super().__init__()
        pool = [nn.MaxPool2d(3, 2, 1)] if stem != 3 else []
        first, *others = stem if isinstance(stem, tuple) else (stem,)
        convs = conv(3, widths[0], first, 2 if pool else 1), *(conv(widths[0], widths[0], side) for side in others)
        self.entry = nn.Sequential(*chain(*((c, nn.BatchNorm2d(widths[0]), nn.ReLU()) for c in convs)), *pool)
        stages = [
            [block(before if j == 0 else after, after, 2 if i and j == 0 else 1) for j in range(depth)]
            for i, (before, after, depth) in enumerate(zip(widths, widths[1:], depths, strict=False))
        ]
        self.trunk = (
            nn.Sequential(*chain.from_iterable(stages)) if flat else nn.Sequential(*(nn.Sequential(*s) for s in stages))
        )
        self.answer = nn.Linear(widths[-1], classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.answer(self.trunk(self.entry(x)).mean((2, 3)))
