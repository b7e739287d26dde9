"""What the tensors of a network without normalisation tell: see `nfnet`."""

from __future__ import annotations

from collections.abc import Mapping

from npresnet.arch.families.nfnet import ANY, DEEPMIND, NAME
from npresnet.arch.families.nfnet_archs import ARCHS, SIZES, USUAL_SIZES
from npresnet.arch.family import Reading, name_in
from npresnet.arch.head.reading import read_head
from npresnet.arch.source import CONV_AXES
from npresnet.arch.stages import read_depths, read_width
from npresnet.arch.suggestions import suggested
from npresnet.arch.tensors import Tensors, agreed
from npresnet.config import Decision

BODY = ("stem.", "stages.", "final_conv.")
TRAINING_SIZE = "timm's sizes in training for this network; it tests with larger ones"


def read(tensors: Tensors) -> Reading:
    layers = read_depths(tensors, "stages.")
    names = [[f"stages.{i}.{j}" for j in range(depth)] for i, depth in enumerate(layers)]
    blocks = [name for stage in names for name in stage]
    widths = {name: (_inner_width(tensors, name), read_width(tensors, f"{name}.conv3")) for name in blocks}
    stem_type, stem_widths = _read_stem(tensors)
    attention = _read_attention(tensors)
    group_size = _read_group_size(tensors, widths)
    features = read_width(tensors, "final_conv") if "final_conv.weight" in tensors else None
    sizes = {
        "widths": widths,
        "stem_widths": stem_widths,
        "group_size": group_size,
        "expands_input": tensors.has(r"^stages\.0\.0\.attn\."),
        "extra_conv": "stages.0.0.conv2b.weight" in tensors,
        "features": features,
    }
    skipinit = "stages.0.0.skipinit_gain" in tensors
    stem = "stem.conv.weight" if "stem.conv.weight" in tensors else "stem.conv1.weight"
    head = read_head(tensors, features or widths[blocks[-1]][1], body=BODY)
    classes = head.num_classes
    in_channels = tensors.peek(stem, CONV_AXES).shape[1]
    activation = _activation(stem_type, attention, group_size or 0, skipinit=skipinit)
    decisions = {
        "family": Decision(NAME, "inferred"),
        "layers": Decision(layers, "inferred"),
        "channels": Decision([widths[stage[0]][1] for stage in names], "inferred"),
        "num_classes": Decision(classes, "inferred", "" if classes else "no classifier in the file"),
        "in_channels": Decision(in_channels, "inferred"),
        "stem_type": Decision(stem_type, "inferred"),
        "attention": Decision(attention, "inferred"),
        "skipinit": Decision(skipinit, "inferred"),
        "activation": Decision(activation, "default"),
        "gamma_in_activation": Decision(skipinit, "default", DEEPMIND if skipinit else ""),
        "same_padding": Decision(skipinit, "default", DEEPMIND if skipinit else ""),
        "alpha": Decision(0.2, "default"),
        **({"gate_gain": Decision(2.0, "default")} if attention != "none" else {}),
        **head.decisions,
    }
    name = name_in(ARCHS, decisions)
    decisions["activation"] = _explained(activation, name)
    preset = SIZES.get(name or "", USUAL_SIZES)
    decisions.update(suggested(preset, TRAINING_SIZE, classes, in_channels))
    return Reading({"arch": Decision(name or ANY, "inferred"), **decisions}, {**sizes, "file_head": head})


def _inner_width(tensors: Tensors, name: str) -> int:
    widths = [read_width(tensors, f"{name}.conv{k}") for k in ("1", "2", "2b") if f"{name}.conv{k}.weight" in tensors]
    return agreed(widths) or read_width(tensors, f"{name}.conv1")


def _read_stem(tensors: Tensors) -> tuple[str, list[int]]:
    if "stem.conv.weight" not in tensors:
        return "deep", [read_width(tensors, f"stem.conv{k}") for k in (1, 2, 3, 4)]
    side = tensors.peek("stem.conv.weight", CONV_AXES).shape[2]
    return ("7x7" if side == 7 else "3x3"), [read_width(tensors, "stem.conv")]


def _read_attention(tensors: Tensors) -> str:
    module = r"^stages\.[0-9]+\.[0-9]+\.attn(_last)?\."
    if tensors.has(module + r"fc1\.weight$"):
        return "se"
    return "eca" if tensors.has(module + r"conv\.weight$") else "none"


def _read_group_size(tensors: Tensors, widths: Mapping[str, tuple[int, int]]) -> int | None:
    """Channels of a group of conv2; None where most blocks have one group."""
    seen = {name: tensors.length(f"{name}.conv2.weight", 1, ndim=4) for name in widths}
    whole = sum(size == widths[name][0] for name, size in seen.items())
    return None if 2 * whole > len(widths) else agreed(seen.values()) or None


def _activation(stem_type: str, attention: str, group_size: int, *, skipinit: bool) -> str:
    """ReLU in NF-ResNets, GELU in NFNet-F (groups of 128 channels) and DeepMind's, SiLU in the others."""
    if stem_type == "7x7":
        return "relu"
    is_large = stem_type == "deep" and attention == "se" and group_size >= 128
    return "gelu" if skipinit or is_large else "silu"


def _explained(activation: str, name: str | None) -> Decision:
    if name is not None:
        return Decision(activation, "default", f"that of {name}")
    others = tuple(f"activation={other!r}" for other in ("relu", "gelu", "silu") if other != activation)
    return Decision(activation, "default", "none of timm's networks has these sizes", others)
