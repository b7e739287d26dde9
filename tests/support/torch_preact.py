"""Pre-activation and Wide ResNets for small images in PyTorch, written from papers and from the checkpoints' names.

He et al. 2016, Identity Mappings in Deep Residual Networks; Zagoruyko and Komodakis 2016, Wide Residual Networks.
"""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
nn, F = torch.nn, torch.nn.functional
MEAN, STD = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)

# home: (stem, stage, block, norms, convs, projection, final norm, classifier); {i} a stage, {j} a block
HOMES = {
    "pytorch-cifar": ("conv1", "layer{1}", "{0}", "bn{1}", "conv{1}", "shortcut.0", "", "linear"),
    "robustbench": ("conv1", "layer{1}", "{0}", "bn{1}", "conv{1}", "shortcut.0", "bn", "linear"),
    "bearpaw": ("conv1", "layer{1}", "{0}", "bn{1}", "conv{1}", "downsample.0", "bn", "fc"),
    "meliketoy": ("conv1", "layer{1}", "{0}", "bn{1}", "conv{1}", "shortcut.0", "bn1", "linear"),
    "xternalz": ("conv1", "block{1}", "layer.{0}", "bn{1}", "conv{1}", "convShortcut", "bn1", "fc"),
    "deepmind": ("init_conv", "layer.{0}", "block.{0}", "batchnorm_{0}", "conv_{0}", "shortcut", "batchnorm", "logits"),
    "weiaicunzai": ("pre.0", "stage{1}", "{0}", "residual.{3}", "residual.{4}", "shortcut", "", "linear"),
}
RAW = ("robustbench", "bearpaw", "meliketoy", "weiaicunzai")  # the projection reads the block's input
BIASES = ("meliketoy", "weiaicunzai")


def numbered(pattern: str, i: int) -> str:
    """{0} counts from 0, {1} from 1; {3} and {4} are places of norms and convolutions in a Sequential with ReLUs."""
    return pattern.format(i, i + 1, "", 3 * i, 3 * i + 2)


class PreActNet(nn.Module):
    """`depths` blocks a stage, from `channels` on; bottleneck blocks of 1x1, 3x3, 1x1 or basic ones of two 3x3.

    first_only  in stages but the first, convolution and projection of a block both read its input
    """

    def __init__(
        self,
        home: str,
        depths: tuple[int, ...] = (1, 2, 1),
        *,
        channels: int = 8,
        stem: int = 4,
        bottleneck: bool = False,
        act=F.relu,
        biases: bool | None = None,
        eps: float = 1e-5,
        first_only: bool = False,
        classes: int = 10,
        inside: bool = False,
    ):
        super().__init__()
        self.home, self.act, self.first_only, self.pairs = home, act, first_only, []
        self.biases, self.eps = home in BIASES if biases is None else biases, eps
        names = HOMES[home]
        if inside:
            self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1))
            self.register_buffer("std", torch.tensor(STD).view(3, 1, 1))
        self.inside = inside
        self.stem = self._conv(names[0], 3, stem, 3)
        self.stem_norm = self._norm("pre.1", stem) if home == "weiaicunzai" else None
        width, self.blocks = stem, []
        for i, depth in enumerate(depths):
            planes = channels * 2**i
            for j in range(depth):
                name = f"{numbered(names[1], i)}.{numbered(names[2], j)}"
                width = self._block(name, names, width, planes, 2 if i and not j else 1, bottleneck, i)
        self.final = self._norm(names[6], width) if names[6] else None
        self.classifier = self._put(names[7], nn.Linear(width, classes))

    def _block(self, name, names, width, planes, stride, bottleneck, stage):
        widths = [width, planes, planes, 4 * planes] if bottleneck else [width, planes, planes]
        strided = (home_strides_second(self.home) if not bottleneck else self.home != "weiaicunzai") * 1
        norms, convs = [], []
        for k in range(len(widths) - 1):
            norms.append(self._norm(f"{name}.{numbered(names[3], k)}", widths[k]))
            side = 1 if bottleneck and k != 1 else 3
            step = stride if k == strided else 1
            convs.append(self._conv(f"{name}.{numbered(names[4], k)}", widths[k], widths[k + 1], side, step))
        changes = stride != 1 or width != widths[-1]
        project = self._conv(f"{name}.{names[5]}", width, widths[-1], 1, stride) if changes else None
        self.blocks.append((norms, convs, project, stage))
        return widths[-1]

    def _conv(self, name, in_channels, out_channels, side, stride=1):
        at_end = self.home == "deepmind" and stride == 2
        padding = 0 if at_end else side // 2
        conv = nn.Conv2d(in_channels, out_channels, side, stride, padding, bias=self.biases)
        return self._put(name, conv)

    def _norm(self, name, channels):
        return self._put(name, nn.BatchNorm2d(channels, eps=self.eps))

    def _put(self, name, module):
        """Register a module under a dotted name; returns it in a tuple, which is not registered again."""
        *path, last = name.split(".")
        place = self
        for part in path:
            if part not in dict(place.named_children()):
                place.add_module(part, nn.Module())
            place = getattr(place, part)
        place.add_module(last, module)
        return (module,)

    def forward(self, x):
        if self.inside:
            x = (x - self.mean) / self.std
        x = self.stem[0](x)
        if self.stem_norm:
            x = self.act(self.stem_norm[0](x))
        for norms, convs, project, stage in self.blocks:
            a = self.act(norms[0][0](x))
            y = x if project and self.first_only and stage else a
            shortcut = x if project is None else project[0](x if self.home in RAW else y)
            for k, (conv,) in enumerate(convs):
                y = self.act(norms[k][0](y)) if k else y
                if self.home == "deepmind" and conv.stride[0] == 2:
                    y = F.pad(y, (0, 1, 0, 1))
                y = conv(y)
            x = y + shortcut
        if self.final:
            x = self.act(self.final[0](x))
        return self.classifier[0](x.mean(dim=(2, 3)))


def home_strides_second(home: str) -> bool:
    return home == "meliketoy"
