"""timm's ResNets of configured blocks (byobnet): resnet33ts, resnet51q, gernet, CLIP's ResNets in timm's names, ...

Recognised by blocks `stages.I.J` of `conv1_1x1` or `conv1_kxk`. Kinds of blocks and widths are read from the tensors.
Activation, strides and the stem's pool are not in them; where the tensors are those of a published configuration, they
are that one's. An attention pool ends in CLIP's embedding where its width is one of CLIP's, else in a classifier.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from npresnet.arch.builder import Builder
from npresnet.arch.families.byob_archs import ARCHS
from npresnet.arch.family import Options, Reading, fits
from npresnet.arch.options import Option, count, flag, is_list_of, is_whole, one_of, short
from npresnet.arch.residual.attention_pool import TIMM, attention_pool, preprocessing, read_size
from npresnet.arch.residual.blocks import CONFIGURED
from npresnet.arch.residual.blocks.configured import CONVS, KERNEL_SIZE, Shape, Style, configured_block, conv_norm
from npresnet.arch.residual.options import ACTIVATIONS, is_eps
from npresnet.arch.source import CONV_AXES
from npresnet.arch.tensors import Tensors
from npresnet.config import Decision
from npresnet.errors import ArchitectureError
from npresnet.network import INPUT
from npresnet.window import Window

__all__ = ["ARCHS", "NAME", "OPTIONS", "build", "name_of", "named", "read", "signature"]

NAME = "byob"
ANY = "byobnet"  # the name of networks without a specific one
FREE = ("activation", "stem_pool", "stage_strides", "antialias")
CLIP_WIDTHS = (512, 640, 768, 1024)
HEADS = ("linear", "mlp", "attention")
POOLS = {"max": Window.of(3, stride=2, padding=1), "avg2": Window.of(2, stride=2)}
_COUNTS = Option(
    is_list_of(lambda value: is_whole(value, 0)), "a list of whole numbers, one for each stage", "topology"
)
OPTIONS: Mapping[str, Option] = {
    "activation": one_of(*ACTIVATIONS, role="free"),
    "stem_pool": one_of("none", *POOLS, role="free"),
    "stage_strides": Option(is_list_of(is_whole), "a list of strides, one for each stage", "free"),
    "antialias": one_of("none", "avg", role="free"),
    "bn_eps": Option(is_eps, "a number from 0 on", "free"),
    "blocks": Option(is_list_of(lambda value: value in CONVS), f"a list of {', '.join(CONVS)}", "topology"),
    **dict.fromkeys(("layers", "channels", "inside", "group_size"), _COUNTS),
    "final": Option(lambda value: is_whole(value, 0), "a whole number", "topology"),
    "stem_plain": Option(lambda value: is_whole(value, 0), "a whole number", "topology"),
    "extra_conv": flag("topology"),
    "downsample": one_of("conv", "avg", role="topology"),
    "attention": one_of("none", "se", "eca", "gc", role="topology"),
    "head_type": one_of(*HEADS, role="topology"),
    "embedding": count("topology"),
    "image_size": count("topology"),
}


def named(name: str) -> Options | None:
    """The listed names, and "byobnet" for any network."""
    return {} if name == ANY else ARCHS.get(name)


def signature(tensors: Tensors) -> bool:
    return any(name in tensors for name in CONFIGURED)


def read(tensors: Tensors) -> Reading:
    stages = [f"stages.{i}" for i in tensors.numbers_after("stages.")]
    kinds = [_kind(tensors, f"{stage}.0") for stage in stages]
    widths = [_widths(tensors, f"{stage}.0", kind) for stage, kind in zip(stages, kinds, strict=True)]
    stem = _stem(tensors)
    head = next(
        h
        for h, mark in zip(HEADS[::-1], (TIMM.pos_embed, "head.norm.weight", ""), strict=True)
        if not mark or mark in tensors
    )
    classes = tensors.length("head.proj.weight" if head == "attention" else "head.fc.weight", 0, ndim=2)
    embeds = head == "attention" and classes in CLIP_WIDTHS
    read_ = {
        "blocks": kinds,
        "layers": [len(tensors.numbers_after(f"{stage}.")) for stage in stages],
        "channels": [width for _, width, _ in widths],
        "inside": [width for width, _, _ in widths],
        "group_size": [size for _, _, size in widths],
        "stem_widths": [tensors.peek(f"{conv}.weight", CONV_AXES).shape[0] for conv, _ in stem],
        "stem_plain": sum(not norm for _, norm in stem),
        "final": tensors.length("final_conv.conv.weight", 0, ndim=4) or 0,
        "extra_conv": tensors.has(r"\.conv2b_kxk\."),
        "downsample": "avg" if tensors.has(r"^stages\.[0-9]+\.0\.shortcut\.conv\.conv\.") else "conv",
        "attention": _attention(tensors),
        "head_type": head,
    }
    facts = {name: Decision(value, "inferred") for name, value in read_.items()}
    in_channels = tensors.peek(f"{stem[0][0]}.weight", CONV_AXES).shape[1]
    decisions = {
        "family": Decision(NAME, "inferred"),
        **facts,
        **_customs(facts, alone=stem[0][0] == "stem.conv"),
        **_pooled(tensors, head, classes if embeds else None),
        "num_classes": Decision(None if embeds else classes, "inferred"),
        "in_channels": Decision(in_channels, "inferred"),
        "bn_eps": Decision(1e-5, "default"),
    }
    size = decisions["image_size"].value if "image_size" in decisions else None
    usual = {"resize": 284, "crop": 256, "interpolation": "bicubic"}  # timm's, for most of these
    custom = preprocessing(size or 224) if decisions["stem_pool"].value == "avg2" and head != "mlp" else usual
    decisions["preprocess"] = Decision("V1" if read_["downsample"] == "conv" and len(stem) == 1 else custom, "default")
    decisions["labels"] = Decision("imagenet" if decisions["num_classes"].value == 1000 else None, "default")
    if in_channels != 3:
        decisions.update(preprocess=Decision(None, "default"), labels=Decision(None, "default"))
    return Reading({"arch": Decision(name_of(decisions), "inferred"), **decisions}, {"stem": stem})


def _pooled(tensors: Tensors, head: str, embedding: int | None) -> dict[str, Decision]:
    if head != "attention":
        return {}
    size = {"image_size": Decision(read_size(tensors, TIMM), "inferred")}
    note = "by CLIP's attention pool, before normalisation"
    return size if embedding is None else {"embedding": Decision(embedding, "inferred", note), **size}


def _customs(facts: Mapping[str, Decision], *, alone: bool) -> dict[str, Decision]:
    """What tensors do not tell: of the published network with these tensors, or else what most of them have.

    alone  the stem is one convolution without a pool, which has another name where there is one
    """
    for name, options in ARCHS.items():
        if fits({key: value for key, value in options.items() if key not in FREE}, facts):
            return {option: Decision(options[option], "default", f"timm's {name} has these tensors") for option in FREE}
    averages = facts["downsample"].value == "avg"
    strides = [2 if alone else 1] + [2] * (len(facts["layers"].value) - 1)
    pool = "avg2" if averages else "max" if any(facts["group_size"].value) else "none"
    others = tuple(f"stem_pool={name!r}" for name in ("none", *POOLS) if name != pool)
    kind = "relu" if averages else "silu"
    return {
        "activation": Decision(kind, "default", "usual", (f"activation={'silu' if averages else 'relu'!r}",)),
        "stem_pool": Decision("none", "inferred") if alone else Decision(pool, "default", "usual", others),
        "stage_strides": Decision(strides, "default", "usual"),
        "antialias": Decision("avg" if averages else "none", "default"),
    }


def name_of(decisions: Mapping[str, Decision]) -> str:
    """The name of a network with these decisions."""
    return next((name for name, options in ARCHS.items() if fits(options, decisions)), ANY)


def _stem(tensors: Tensors) -> tuple[tuple[str, str], ...]:
    """(convolution, its norm or "") for each of the stem's."""
    if "stem.conv.weight" in tensors:
        return (("stem.conv", "stem.bn"),)
    numbers = [i for i in range(1, 9) if tensors.has(rf"^stem\.conv{i}\.")]
    names = tuple(
        (f"stem.conv{i}.conv", f"stem.conv{i}.bn") if f"stem.conv{i}.conv.weight" in tensors else (f"stem.conv{i}", "")
        for i in numbers
    )
    if not names:
        raise ArchitectureError("stem.conv.weight and stem.conv1.conv.weight are missing. Was the file saved in part?")
    return names


def _kind(tensors: Tensors, block: str) -> str:
    for kind, (convs, *_) in sorted(CONVS.items(), key=lambda row: -len(row[1][0])):
        if all(f"{block}.{conv}.conv.weight" in tensors for conv in convs):
            return kind
    raise ArchitectureError(f"{block} is no block known to npresnet: it needs the convolutions of one of {CONVS}")


def _widths(tensors: Tensors, block: str, kind: str) -> tuple[int, int, int]:
    """(channels inside, channels, channels of a group or 0) of a block."""
    convs, _, grouped, _ = CONVS[kind]
    shapes = [tensors.peek(f"{block}.{conv}.conv.weight", CONV_AXES).shape for conv in convs]
    inside, last, group = shapes[0][0], shapes[-1][0], shapes[grouped][1]
    return inside, last, group if grouped and group != inside else 0


def _attention(tensors: Tensors) -> str:
    for kind, layer in (("se", "fc1"), ("eca", "conv"), ("gc", "conv_attn")):
        if tensors.has(rf"^stages\.[0-9]+\.[0-9]+\.attn(_last)?\.{layer}\.weight$"):
            return kind
    return "none"


def build(builder: Builder, options: Options) -> Mapping[str, str]:
    style = Style(
        options["activation"],
        options["attention"],
        options["downsample"],
        options["antialias"],
        options.get("reduction", 1 / 16),
        options.get("bn_eps", 1e-5),
    )
    if len(options["stage_strides"]) != len(options["layers"]):
        raise ArchitectureError(
            f"stage_strides={short(options['stage_strides'])} has {len(options['stage_strides'])} values, but one is "
            f"needed for each of the {len(options['layers'])} stages"
        )
    x = _build_stem(builder, style, options)
    rows = zip(
        *(options[name] for name in ("blocks", "layers", "channels", "inside", "group_size", "stage_strides")),
        strict=True,
    )
    for i, (kind, depth, channels, inside, size, stride) in enumerate(rows):
        shape = Shape(kind, inside, channels, inside // size if size else 1, options["extra_conv"] and kind == "bottle")
        for j in range(depth):
            x = configured_block(builder, style, f"stages.{i}.{j}", x, shape, 1 if j else stride)
    if options["final"]:
        x = conv_norm(builder, style, "final_conv", x, options["final"], Window.of(1))
        x = builder.activation("final_conv.act", x, style.activation)
    return _build_head(builder, style, x, options)


def _build_stem(builder: Builder, style: Style, options: Options) -> str:
    """Convolutions, the first of stride 2; then a pool, or, where there is none, also the last of several strides."""
    widths, pool = options["stem_widths"], options["stem_pool"]
    usual = [(f"stem.conv{i}.conv", f"stem.conv{i}.bn") for i in range(1, len(widths) + 1)]
    for i in range(options["stem_plain"]):
        usual[i] = (f"stem.conv{i + 1}", "")
    if len(widths) == 1 and pool == "none":
        usual = [("stem.conv", "stem.bn")]
    x = INPUT
    for i, ((conv, norm), width) in enumerate(zip(options.get("stem", usual), widths, strict=True)):
        found = builder.source.shape_of(f"{conv}.weight")
        side = found[-1] if found else KERNEL_SIZE
        stride = 2 if i == 0 or (i == len(widths) - 1 and pool == "none") else 1
        x = builder.conv(conv, x, width, Window.of(side, stride=stride, padding=side // 2))
        if norm:
            x = builder.batch_norm(norm, x, eps=style.eps)
            x = builder.activation(f"{norm}.act", x, style.activation)
    if pool == "max":
        return builder.max_pool("stem.pool", x, POOLS[pool])
    return x if pool == "none" else builder.avg_pool("stem.pool", x, POOLS[pool])


def _build_head(builder: Builder, style: Style, x: str, options: Options) -> dict[str, str]:
    classes: Any = options.get("num_classes")
    if options["head_type"] == "attention":
        embedding = options.get("embedding")
        x = attention_pool(builder, x, TIMM, size=options["image_size"], out_features=embedding)
        return {"embedding": x} if embedding else {"logits": builder.linear(TIMM.proj, x, classes)}
    x = builder.global_avg_pool("head.global_pool", x)
    if options["head_type"] == "mlp":
        x = builder.batch_norm("head.norm", x, eps=style.eps)
        x = builder.flatten("head.flatten", x)
        found = builder.source.shape_of("head.pre_logits.fc.weight")
        x = builder.linear("head.pre_logits.fc", x, found[0] if found else 1024)
        x = builder.activation("head.pre_logits.act", x, style.activation)
    else:
        x = builder.flatten("head.flatten", x)
    return {"logits": builder.linear("head.fc", x, classes)} if classes else {"embedding": x}
