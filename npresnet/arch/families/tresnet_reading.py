"""What the tensors of a TResNet tell: see `tresnet`."""

from __future__ import annotations

from npresnet.arch.families.tresnet import ANY, ARCHS, NAME, PREPROCESS, SIDE
from npresnet.arch.family import Reading, name_in
from npresnet.arch.head.reading import read_head
from npresnet.arch.source import CONV_AXES
from npresnet.arch.stages import read_depths, read_width
from npresnet.arch.suggestions import suggested
from npresnet.arch.tensors import Tensors
from npresnet.config import Decision
from npresnet.errors import ArchitectureError


def read(tensors: Tensors) -> Reading:
    layers = read_depths(tensors, "body.layer", first=1)
    names = [f"body.layer{i}.{j}" for i, depth in enumerate(layers, start=1) for j in range(depth)]
    widths = {name: _read_widths(tensors, name) for name in names}
    head = read_head(tensors, widths[names[-1]][-1], body=("body.",))
    classes = head.num_classes
    stem = tensors.peek("body.conv1.conv.weight", CONV_AXES)
    in_channels, rest = divmod(stem.shape[1], SIDE * SIDE)
    if rest or not in_channels:
        raise ArchitectureError(
            f"body.conv1.conv.weight has shape {stem.shape} ({', '.join(CONV_AXES)}), but its input channels should be "
            f"a multiple of {SIDE * SIDE}: the stem turns squares of {SIDE}x{SIDE} pixels into channels"
        )
    decisions = {
        "family": Decision(NAME, "inferred"),
        "layers": Decision(layers, "inferred"),
        "num_classes": Decision(classes, "inferred", "" if classes else "no classifier in the file"),
        "in_channels": Decision(in_channels, "inferred"),
        "v2": Decision(len(widths[names[0]]) == 3, "inferred"),
        "channels": Decision(_width(tensors, "body.conv1"), "inferred"),
        "bn_eps": Decision(1e-5, "default"),
        **head.decisions,
        **suggested(PREPROCESS, "pixels in 0..1, as in training", classes, in_channels),
    }
    name = Decision(name_in(ARCHS, decisions) or ANY, "inferred")
    return Reading({"arch": name, **decisions}, {"widths": widths, "file_head": head})


def _read_widths(tensors: Tensors, name: str) -> tuple[int, ...]:
    convs = (1, 2, 3) if f"{name}.conv3.conv.weight" in tensors else (1, 2)
    return tuple(_width(tensors, f"{name}.conv{k}") for k in convs)


def _width(tensors: Tensors, name: str) -> int:
    return read_width(tensors, f"{name}.conv", [f"{name}.bn"])
