"""timm's CSP-ResNets: each stage expands its map, sends half of it through Bottlenecks, and joins both halves.

    x = leaky(bn(conv_down 3x3 of stride 2 (x)))          but in the first stage
    s, b = the halves of bn(conv_exp 1x1 (x))
    y = leaky(bn(conv_transition 1x1 (s, leaky(bn(conv_transition_b 1x1 (blocks(b)))) side by side)))

Recognised by `stages.0.conv_exp` and Bottlenecks. Widths and groups are read from the tensors; activation, the lack of
one after `conv_exp`, and the max pool are those of the four published networks. Source: Wang et al. 2020, CSPNet,
section 3; timm, cspnet.py.
"""

from __future__ import annotations

from collections.abc import Mapping

from npresnet.arch.builder import Builder
from npresnet.arch.family import Options, Reading, name_in
from npresnet.arch.options import Option, count, flag, is_list_of, is_whole
from npresnet.arch.residual.build import same_window
from npresnet.arch.residual.options import ACTIVATIONS, is_activation, is_eps
from npresnet.arch.source import CONV_AXES
from npresnet.arch.tensors import Tensors
from npresnet.config import Decision
from npresnet.network import INPUT
from npresnet.window import Window

__all__ = ["ARCHS", "NAME", "OPTIONS", "build", "name_of", "named", "read", "signature"]

NAME = "csp"
ANY = "cspresnet"  # the name of networks without a specific one
LEAKY = ["leaky_relu", 0.01]
CUSTOM = "of all published CSP-ResNets"
POOL = Window.of(3, stride=2, padding=1)
_COUNTS = Option(is_list_of(is_whole), "a list of whole numbers", "topology")
OPTIONS: Mapping[str, Option] = {
    "activation": Option(is_activation, f"one of {', '.join(ACTIVATIONS)}, or ['leaky_relu', slope]", "free"),
    "cross_linear": flag("free"),
    "max_pool": flag("free"),
    "bn_eps": Option(is_eps, "a number from 0 on", "free"),
    **dict.fromkeys(("layers", "channels", "expanded", "block_channels", "inside"), _COUNTS),
    "groups": count("topology"),
    "stem_kernel": count("topology"),
}


def _net(channels: int, expand: float, block: float, bottle: float, groups: int = 1, deep: bool = False) -> Options:
    widths = [channels * 2**i for i in range(4)]
    return {
        "layers": [3, 3, 5, 2],
        "channels": widths,
        "expanded": [round(width * expand) for width in widths],
        "block_channels": [round(width * block) for width in widths],
        "inside": [round(width * block * bottle) for width in widths],
        "groups": groups,
        "stem_kernel": 3 if deep else 7,
        "stem_widths": [32, 32, 64] if deep else [64],
    }


ARCHS: Mapping[str, Options] = {
    "cspresnet50": _net(128, 2, 1, 0.5),
    "cspresnet50d": _net(128, 2, 1, 0.5, deep=True),
    "cspresnet50w": _net(256, 1, 0.5, 0.25, deep=True),
    "cspresnext50": _net(256, 1, 0.5, 1, groups=32),
}


def named(name: str) -> Options | None:
    """The listed names, and "cspresnet" for any network."""
    return {} if name == ANY else ARCHS.get(name)


def signature(tensors: Tensors) -> bool:
    marks = ("conv_exp", "conv_transition_b", "blocks.0.conv3")
    return all(f"stages.0.{mark}.conv.weight" in tensors for mark in marks)


def read(tensors: Tensors) -> Reading:
    def shape(conv: str) -> tuple[int, ...]:
        return tensors.peek(f"{conv}.conv.weight", CONV_AXES).shape

    stages = [f"stages.{i}" for i in tensors.numbers_after("stages.")]
    stem = [shape(f"stem.conv{i + 1}") for i in range(8) if f"stem.conv{i + 1}.conv.weight" in tensors or not i]
    inside = [shape(f"{stage}.blocks.0.conv1")[0] for stage in stages]
    classes = tensors.length("head.fc.weight", 0, ndim=2)
    found = {
        "layers": [len(tensors.numbers_after(f"{stage}.blocks.")) for stage in stages],
        "channels": [shape(f"{stage}.conv_transition")[0] for stage in stages],
        "expanded": [shape(f"{stage}.conv_exp")[0] for stage in stages],
        "block_channels": [shape(f"{stage}.blocks.0.conv3")[0] for stage in stages],
        "inside": inside,
        "groups": max(inside[0] // shape("stages.0.blocks.0.conv2")[1], 1),
        "stem_kernel": stem[0][-1],
        "stem_widths": [sizes[0] for sizes in stem],
        "num_classes": classes,
        "in_channels": stem[0][1],
    }
    decisions = {
        "family": Decision(NAME, "inferred"),
        **{name: Decision(value, "inferred") for name, value in found.items()},
        "activation": Decision(LEAKY, "default", CUSTOM),
        "cross_linear": Decision(True, "default", CUSTOM),
        "max_pool": Decision(True, "default", CUSTOM),
        "bn_eps": Decision(1e-5, "default"),
        "preprocess": Decision("V1" if stem[0][1] == 3 else None, "default"),
        "labels": Decision("imagenet" if classes == 1000 and stem[0][1] == 3 else None, "default"),
    }
    return Reading({"arch": Decision(name_of(decisions), "inferred"), **decisions}, {})


def name_of(decisions: Mapping[str, Decision]) -> str:
    """The name of a network with these decisions."""
    return name_in(ARCHS, decisions) or ANY


def build(builder: Builder, options: Options) -> Mapping[str, str]:
    x = INPUT
    for i, width in enumerate(options["stem_widths"]):
        window = same_window(options["stem_kernel"], 1 if i else 2)
        x = _conv(builder, options, f"stem.conv{i + 1}", x, width, window)
    x = builder.max_pool("stem.pool", x, POOL) if options.get("max_pool", True) else x
    for i in range(len(options["layers"])):
        x = _stage(builder, options, i, x)
    x = builder.flatten("head.flatten", builder.global_avg_pool("head.global_pool", x))
    classes = options.get("num_classes")
    return {"logits": builder.linear("head.fc", x, classes)} if classes else {"embedding": x}


def _stage(builder: Builder, options: Options, number: int, x: str) -> str:
    name, one = f"stages.{number}", Window.of(1)
    half = options["expanded"][number] // 2
    down = f"{name}.conv_down"
    if f"{down}.conv.weight" in builder.source if builder.source.is_file else number > 0:
        window = same_window(3, 2)
        x = _conv(builder, options, down, x, builder.channels[x], window, groups=options["groups"])
    linear = options.get("cross_linear", True)
    x = _conv(builder, options, f"{name}.conv_exp", x, 2 * half, one, acts=not linear)
    straight = builder.slice_channels(f"{name}.straight", x, 0, half)
    x = builder.slice_channels(f"{name}.crossing", x, half, 2 * half)
    for j in range(options["layers"][number]):
        x = _block(builder, options, f"{name}.blocks.{j}", number, x)
    x = _conv(builder, options, f"{name}.conv_transition_b", x, half, one)
    x = builder.concat(f"{name}.concat", [straight, x])
    return _conv(builder, options, f"{name}.conv_transition", x, options["channels"][number], one)


def _block(builder: Builder, options: Options, name: str, number: int, x: str) -> str:
    inside, one = options["inside"][number], Window.of(1)
    y = _conv(builder, options, f"{name}.conv1", x, inside, one)
    y = _conv(builder, options, f"{name}.conv2", y, inside, same_window(3), groups=options["groups"])
    y = _conv(builder, options, f"{name}.conv3", y, options["block_channels"][number], one, acts=False)
    return _activate(builder, options, f"{name}.act3", builder.add(f"{name}.add", y, x))


def _conv(
    builder: Builder,
    options: Options,
    name: str,
    x: str,
    width: int,
    window: Window,
    *,
    groups: int = 1,
    acts: bool = True,
) -> str:
    """`name`.conv, `name`.bn, and the activation."""
    y = builder.conv(f"{name}.conv", x, width, window, groups=groups, to=f"to {name}.bn")
    y = builder.batch_norm(f"{name}.bn", y, eps=options.get("bn_eps", 1e-5))
    return _activate(builder, options, f"{name}.act", y) if acts else y


def _activate(builder: Builder, options: Options, name: str, x: str) -> str:
    kind = options.get("activation", LEAKY)
    if isinstance(kind, str):
        return builder.activation(name, x, kind)
    return builder.activation(name, x, kind[0], negative_slope=kind[1])
