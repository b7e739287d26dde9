"""What the tensors of a SENet tell: see `senet`."""

from __future__ import annotations

from npresnet.arch.families.senet import ANY, ARCHS, BICUBIC, NAME, STRIDE_ON
from npresnet.arch.family import Reading, name_in
from npresnet.arch.head.reading import read_head
from npresnet.arch.source import CONV_AXES
from npresnet.arch.stages import read_depths, read_groups, read_width
from npresnet.arch.suggestions import suggested
from npresnet.arch.tensors import Tensors
from npresnet.config import Decision

BODY = tuple(f"layer{stage}." for stage in range(10))


def read(tensors: Tensors) -> Reading:
    layers = read_depths(tensors, "layer", first=1)
    convs = 3 if tensors.has(r"^layer[0-9]+\.[0-9]+\.conv3\.weight$") else 2
    names = [f"layer{i}.{j}" for i, depth in enumerate(layers, start=1) for j in range(depth)]
    widths = {name: tuple(_width(tensors, name, k) for k in range(1, convs + 1)) for name in names}
    groups = read_groups(tensors, ((f"{name}.conv2", widths[name][0]) for name in names)) if convs == 3 else 1
    block = _block_of(groups, widths[names[0]])
    projection = tensors.length("layer2.0.downsample.0.weight", 2, ndim=4)
    head = read_head(tensors, widths[names[-1]][-1], body=BODY)
    classes = head.num_classes
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
        **head.decisions,
    }
    if convs == 2:
        del decisions["stride_on"]
    name = name_in(ARCHS, decisions)
    sizes = {
        "stem_widths": [_width(tensors, "layer0", k) for k in (1, 2, 3) if f"layer0.conv{k}.weight" in tensors],
        "widths": widths,
        "projection_kernel": projection or 1,
        "file_head": head,
    }
    preset = {"interpolation": "bicubic"} if name in BICUBIC else "V1"
    decisions.update(suggested(preset, "", classes, in_channels))
    return Reading({"arch": Decision(name or ANY, "inferred"), **decisions}, sizes)


def _width(tensors: Tensors, name: str, k: int) -> int:
    return read_width(tensors, f"{name}.conv{k}", [f"{name}.bn{k}"])


def _block_of(groups: int, widths: tuple[int, ...]) -> str:
    if len(widths) == 2:
        return "SEResNetBlock"
    if groups == 1:
        return "SEResNetBottleneck"
    return "SEResNeXtBottleneck" if widths[0] == widths[1] else "SEBottleneck"
