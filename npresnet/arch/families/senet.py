"""SENet-154, SE-ResNet and SE-ResNeXt as in their authors' Caffe networks: timm's `legacy_` ones, and Cadene's.

    layer0 -> max pool (3x3, stride 2, no padding, sizes rounded up) -> layer1 .. layer4 -> average pool -> last_linear

    SEResNetBlock         relu(gate(relu(bn2(conv2 3x3 (relu(bn1(conv1 3x3 (x)))))))  + shortcut)
    SEResNetBottleneck    relu(gate(bn3(conv3 1x1 (..conv2 3x3 (..conv1 1x1 (x)))))   + shortcut)    stride on conv1
    SEResNeXtBottleneck   the same with groups                                                       stride on conv2
    SEBottleneck          the same with groups, and twice as many channels out of conv2 as out of conv1

Recognised by `layer0` and `se_module`. The four kinds of blocks differ in their tensors, and so tell where the stride
is: only networks with the stride on the 3x3 have groups. (Hu et al. 2018, Squeeze-and-Excitation Networks.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from npresnet.arch.attention import Attention, attend
from npresnet.arch.builder import Builder
from npresnet.arch.family import Options, Reading, name_in
from npresnet.arch.named_head import Names, pool_and_classify, read_classes
from npresnet.arch.options import Option, count, is_list_of, is_whole, one_of
from npresnet.arch.residual_options import is_eps
from npresnet.arch.source import CONV_AXES
from npresnet.arch.stages import read_depths, read_groups, read_width
from npresnet.arch.tensors import Tensors
from npresnet.config import Decision
from npresnet.network import INPUT
from npresnet.window import Window

NAME = "senet"
ANY = "senet"
GATE = Attention("se", "se_module")
CLASSIFIERS = ("last_linear", "fc")
BLOCKS = ("SEResNetBlock", "SEResNetBottleneck", "SEResNeXtBottleneck", "SEBottleneck")
STRIDE_ON = {"SEResNetBottleneck": "1x1", "SEResNeXtBottleneck": "3x3", "SEBottleneck": "3x3"}
POOL = Window.of(3, stride=2)

OPTIONS: Mapping[str, Option] = {
    "block": one_of(*BLOCKS, role="topology"),
    "layers": Option(is_list_of(is_whole), "a list of whole numbers, the blocks of each stage", "topology"),
    "groups": count("size"),
    "stride_on": one_of("1x1", "3x3", role="free"),
    "bn_eps": Option(is_eps, "a number from 0 on", "free"),
}


def _net(block: str, layers: list[int], groups: int = 1) -> Options:
    return {"block": block, "layers": layers, "groups": groups}


ARCHS: Mapping[str, Options] = {
    "legacy_senet154": _net("SEBottleneck", [3, 8, 36, 3], 64),
    "legacy_seresnet18": _net("SEResNetBlock", [2, 2, 2, 2]),
    "legacy_seresnet34": _net("SEResNetBlock", [3, 4, 6, 3]),
    "legacy_seresnet50": _net("SEResNetBottleneck", [3, 4, 6, 3]),
    "legacy_seresnet101": _net("SEResNetBottleneck", [3, 4, 23, 3]),
    "legacy_seresnet152": _net("SEResNetBottleneck", [3, 8, 36, 3]),
    "legacy_seresnext26_32x4d": _net("SEResNeXtBottleneck", [2, 2, 2, 2], 32),
    "legacy_seresnext50_32x4d": _net("SEResNeXtBottleneck", [3, 4, 6, 3], 32),
    "legacy_seresnext101_32x4d": _net("SEResNeXtBottleneck", [3, 4, 23, 3], 32),
}
BICUBIC = ("legacy_seresnet18", "legacy_seresnext26_32x4d")


class _Block(NamedTuple):
    name: str
    widths: tuple[int, ...]
    stride: int


class _Net(NamedTuple):
    """A network without its weights; stem_widths, widths and projection_kernel are read from a file.

    projection_kernel  of the projections from layer2 on; that of layer1 is 1x1
    """

    block: str
    layers: Sequence[int]
    groups: int = 1
    stride_on: str = ""
    num_classes: int | None = 1000
    bn_eps: float = 1e-5
    projection_kernel: int = 1
    classifier: str = CLASSIFIERS[0]
    stem_widths: Sequence[int] = (64,)
    widths: Mapping[str, tuple[int, ...]] = MappingProxyType({})

    @classmethod
    def of(cls, options: Options) -> _Net:
        usual: dict[str, Any] = {"stride_on": STRIDE_ON.get(options["block"], "3x3")}
        if options["block"] == "SEBottleneck":
            usual.update(stem_widths=(64, 64, 128), projection_kernel=3)
        return cls(**{name: value for name, value in {**usual, **options}.items() if name in cls._fields})

    def blocks(self) -> Iterator[_Block]:
        for i, depth in enumerate(self.layers):
            for j in range(depth):
                name = f"layer{i + 1}.{j}"
                yield _Block(name, self.widths.get(name) or self._usual(64 * 2**i), 2 if i and j == 0 else 1)

    def _usual(self, planes: int) -> tuple[int, ...]:
        if self.block == "SEResNetBlock":
            return planes, planes
        if self.block == "SEBottleneck":
            return 2 * planes, 4 * planes, 4 * planes
        inner = planes if self.block == "SEResNetBottleneck" else planes * 4 // 64 * self.groups
        return inner, inner, 4 * planes


def named(name: str) -> Options | None:
    """The listed names; those of pretrained-models (senet154, se_resnet50, ...); and "senet" for any network."""
    if name == ANY:
        return {}
    short = name.replace("se_res", "seres")
    return ARCHS.get(name) or (ARCHS.get(f"legacy_{short}") if short != name or name == "senet154" else None)


def signature(tensors: Tensors) -> bool:
    return "layer0.conv1.weight" in tensors and tensors.has(r"^layer1\.[0-9]+\.se_module\.fc1\.weight$")


def read(tensors: Tensors) -> Reading:
    layers = read_depths(tensors, "layer", first=1)
    convs = 3 if tensors.has(r"^layer[0-9]+\.[0-9]+\.conv3\.weight$") else 2
    names = [f"layer{i}.{j}" for i, depth in enumerate(layers, start=1) for j in range(depth)]
    widths = {name: tuple(_width(tensors, name, k) for k in range(1, convs + 1)) for name in names}
    groups = read_groups(tensors, ((f"{name}.conv2", widths[name][0]) for name in names)) if convs == 3 else 1
    block = _block_of(groups, widths[names[0]])
    projection = tensors.length("layer2.0.downsample.0.weight", 2, ndim=4)
    classifier = next((name for name in CLASSIFIERS if f"{name}.weight" in tensors), CLASSIFIERS[0])
    classes = read_classes(tensors, classifier)
    in_channels = tensors.peek("layer0.conv1.weight", CONV_AXES).shape[1]
    decisions = {
        "family": Decision(NAME, "inferred"),
        "block": Decision(block, "inferred"),
        "layers": Decision(layers, "inferred"),
        "num_classes": Decision(classes, "inferred", "" if classes else "no classifier in the file"),
        "in_channels": Decision(in_channels, "inferred"),
        "groups": Decision(groups, "inferred"),
        "stride_on": Decision(STRIDE_ON.get(block), "inferred", f"by the custom of {block}"),
        "bn_eps": Decision(1e-5, "default"),
    }
    if convs == 2:
        del decisions["stride_on"]
    name = name_in(ARCHS, decisions)
    sizes = {
        "stem_widths": [_width(tensors, "layer0", k) for k in (1, 2, 3) if f"layer0.conv{k}.weight" in tensors],
        "widths": widths,
        "projection_kernel": projection or 1,
        "classifier": classifier,
    }
    decisions.update(_suggested(name, classes, in_channels))
    return Reading({"arch": Decision(name or ANY, "inferred"), **decisions}, sizes)


def build(builder: Builder, options: Options) -> Mapping[str, str]:
    net = _Net.of(options)
    x = INPUT
    deep = len(net.stem_widths) > 1
    for k, width in enumerate(net.stem_widths, start=1):
        side, stride = 3 if deep else 7, 2 if k == 1 else 1
        x = _conv_norm(builder, net, "layer0", k, x, width, Window.of(side, stride=stride, padding=side // 2))
        x = builder.relu(f"layer0.relu{k}", x)
    x = builder.max_pool("pool0", x, POOL, ceil_mode=True)
    for block in net.blocks():
        x = _block(builder, net, block, x)
    names = Names("global_pool", "global_pool.flatten", net.classifier)
    return pool_and_classify(builder, x, net.num_classes, names)


def _block(builder: Builder, net: _Net, block: _Block, x: str) -> str:
    name, widths, last = block.name, block.widths, len(block.widths)
    y = x
    for k, (window, groups) in enumerate(_windows(net, block.stride), start=1):
        y = _conv_norm(builder, net, name, k, y, widths[k - 1], window, groups)
        if k < last or last == 2:
            y = builder.relu(f"{name}.relu.{k}", y)
    y = attend(builder, GATE, name, y, hidden=max(1, widths[-1] // 16))
    y = builder.add(f"{name}.add", y, _shortcut(builder, net, block, x, y))
    return builder.relu(f"{name}.relu.{last + 1}", y, block=net.block)


def _windows(net: _Net, stride: int) -> list[tuple[Window, int]]:
    """(window, groups) of each convolution."""
    if net.block == "SEResNetBlock":
        return [(Window.of(3, stride=stride, padding=1), 1), (Window.of(3, padding=1), 1)]
    first, second = (stride, 1) if net.stride_on == "1x1" else (1, stride)
    return [(Window.of(1, stride=first), 1), (Window.of(3, stride=second, padding=1), net.groups), (Window.of(1), 1)]


def _shortcut(builder: Builder, net: _Net, block: _Block, x: str, y: str) -> str:
    name, out_channels = f"{block.name}.downsample", builder.channels[y]
    changes = block.stride != 1 or builder.channels[x] != out_channels
    if not changes and f"{name}.0.weight" not in builder.source:
        return x
    side = net.projection_kernel if block.stride > 1 else 1
    window = Window.of(side, stride=block.stride, padding=side // 2)
    x = builder.conv(f"{name}.0", x, out_channels, window, to=f"to be added to {y}")
    return builder.batch_norm(f"{name}.1", x, eps=net.bn_eps)


def _conv_norm(
    builder: Builder, net: _Net, name: str, k: int, x: str, width: int, window: Window, groups: int = 1
) -> str:
    x = builder.conv(f"{name}.conv{k}", x, width, window, groups=groups, to=f"to {name}.bn{k}")
    return builder.batch_norm(f"{name}.bn{k}", x, eps=net.bn_eps)


def _width(tensors: Tensors, name: str, k: int) -> int:
    return read_width(tensors, f"{name}.conv{k}", [f"{name}.bn{k}"])


def _block_of(groups: int, widths: tuple[int, ...]) -> str:
    if len(widths) == 2:
        return "SEResNetBlock"
    if groups == 1:
        return "SEResNetBottleneck"
    return "SEResNeXtBottleneck" if widths[0] == widths[1] else "SEBottleneck"


def _suggested(name: str | None, classes: int | None, in_channels: int) -> dict[str, Decision]:
    if in_channels != 3:
        note = f"no preset has {in_channels} channels: give mean and std"
        return {"preprocess": Decision(None, "default", note), "labels": Decision(None, "default")}
    preset: Any = {"interpolation": "bicubic"} if name in BICUBIC else "V1"
    return {
        "preprocess": Decision(preset, "default"),
        "labels": Decision("imagenet" if classes == 1000 else None, "default"),
    }
