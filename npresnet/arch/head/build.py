"""The classifier: pooling, a chain of linear layers and norms, activations between them, or none at all.

    body's map (C, H, W) -> pool -> flatten -> (norm, linear, activation, ...) -> logits

What a file has is read by `reading`, `gaps` and `choice`; here is what a head consists of, and how it
is added to a network.
"""

# No `from __future__ import annotations`: a NamedTuple would compile annotations that are strings, which slows a start.

from collections.abc import Mapping
from numbers import Real
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from npresnet.arch.builder import Builder
from npresnet.arch.options import Option, one_of, short
from npresnet.arch.source import CHANNEL_AXES, CONV_AXES, COUNTER, FEATURE_AXES, Wanted, ones, uniform_fan_in, zeros
from npresnet.config import Decision
from npresnet.errors import ArchitectureError

Kind = Literal["linear", "pointwise", "batch_norm", "layer_norm", "gap"]

NORM_EPS = 1e-5  # PyTorch's default, torch.nn.BatchNorm1d and LayerNorm
POOLS = ("avg", "max", "avgmax", "catavgmax", "catmaxavg")
ACTIVATIONS = (
    *("none", "relu", "tanh", "gelu", "leaky_relu", "silu", "sigmoid"),
    *("relu6", "elu", "selu", "mish", "hard_sigmoid", "hard_swish"),
)


def _is_activation(value: Any) -> bool:
    """A name, or [name, slope] of a leaky ReLU."""
    if isinstance(value, (list, tuple)) and len(value) == 2 and value[0] == "leaky_relu":
        return type(value[1]) is not bool and isinstance(value[1], Real)
    return isinstance(value, str) and value in ACTIVATIONS


def _are_activations(value: Any) -> bool:
    several = isinstance(value, (list, tuple)) and len(value) > 0 and all(map(_is_activation, value))
    return several or _is_activation(value)


def _are_names(value: Any) -> bool:
    names = value if isinstance(value, (list, tuple)) and value else [value]
    return all(isinstance(name, str) and name for name in names)


# The options of every network with a head.
OPTIONS: Mapping[str, Option] = MappingProxyType(
    {
        "head": Option(_are_names, "a module's name, a list of modules in their order, or 'none'", "free", always=True),
        "head_activation": Option(
            _are_activations,
            f"one of {', '.join(ACTIVATIONS)}, ['leaky_relu', slope], or a list of these",
            "free",
            always=True,
        ),
        "global_pool": one_of(*POOLS, role="free"),
        "scores": one_of("softmax", "sigmoid", role="free"),
    }
)


class Module(NamedTuple):
    """One module of a head.

    name      of its tensors; of a gap the place where a module without tensors stands
    kind      "linear" (O, C), "pointwise" (a 1x1 convolution, (O, C, 1, 1)), "batch_norm", "layer_norm", or "gap": an
              activation, a Dropout or nothing
    width     features after it
    assumed   of a gap: the activation, unless `head_activation` says otherwise
    """

    name: str
    kind: Kind
    width: int
    assumed: str = "none"


class Head(NamedTuple):
    """A classifier.

    modules    in order, () for none
    decisions  head, head_activation, global_pool, scores: those that apply; all are options of the caller
    """

    modules: tuple[Module, ...] = ()
    decisions: Mapping[str, Decision] = MappingProxyType({})

    @property
    def num_classes(self) -> int | None:
        """Rows of the last linear layer; None without a classifier."""
        return next((module.width for module in reversed(self.modules) if module.kind != "gap"), None)

    @property
    def gaps(self) -> tuple[Module, ...]:
        return tuple(module for module in self.modules if module.kind == "gap")


def one_linear(name: str, num_classes: int | None) -> Head:
    """The usual head: one linear layer; none where there are no classes."""
    return Head((Module(name, "linear", num_classes),) if num_classes else ())


def pool_and_classify(
    builder: Builder,
    x: str,
    head: Head,
    *,
    global_pool: str | None = None,
    head_activation: Any = None,
) -> dict[str, str]:
    """Pool the map x (C, H, W), flatten, classify: see `pool` and `classify`.

    What is not given is as the head itself has it.
    """
    if global_pool is None:
        global_pool = head.decisions["global_pool"].value if "global_pool" in head.decisions else "avg"
    x = pool(builder, x, global_pool)  # (C, 1, 1)
    return classify(builder, builder.flatten("flatten", x), head, head_activation)


def classify(builder: Builder, x: str, head: Head, head_activation: Any = None) -> dict[str, str]:
    """The modules of the head on features x (C,).

    head_activation  one activation for all gaps where one is assumed (if there is none, for all gaps); or a list, one
                     for each gap, "none" for a Dropout; None: what is assumed

    Returns {"logits": node}, or {"embedding": x} where there is no classifier. Raises ArchitectureError where a layer
    does not fit.
    """
    activations = iter(_settled(head, head_activation))
    for module in head.modules:
        x = _add(builder, x, module, activations)
    return {"logits" if head.modules else "embedding": x}


def pool(builder: Builder, x: str, kind: str) -> str:
    """From a map (C, H, W) to (C, 1, 1), or (2C, 1, 1) for both pools.

    Source: torch.nn.AdaptiveAvgPool2d(1); timm's SelectAdaptivePool2d; fastai's AdaptiveConcatPool2d ("catmaxavg").
    """
    if kind == "avg":
        return builder.global_avg_pool("avgpool", x)
    if kind == "max":
        return builder.global_max_pool("global_pool", x)
    parts = {
        "avg": builder.global_avg_pool("global_pool.avg", x),
        "max": builder.global_max_pool("global_pool.max", x),
    }
    if kind == "avgmax":
        total = builder.add("global_pool.add", parts["avg"], parts["max"])
        return builder.affine("global_pool", total, scale=0.5)
    order = ("avg", "max") if kind == "catavgmax" else ("max", "avg")
    return builder.concat("global_pool", [parts[name] for name in order])


def _settled(head: Head, given: Any) -> list[Any]:
    """The activation of each gap."""
    gaps = head.gaps
    if given is None:
        return [gap.assumed for gap in gaps]
    if _is_activation(given):
        if not gaps and given != "none":
            raise ArchitectureError(
                f"head_activation={given!r}: this classifier ({_names(head)}) has no place for an activation: no gap "
                "in its numbering, no two modules with names of their own. Leave the option out"
            )
        chosen = [gap.assumed != "none" for gap in gaps]
        return [given if assumed or not any(chosen) else "none" for assumed in chosen]
    if len(given) != len(gaps):
        places = ", ".join(gap.name for gap in gaps) or "none"
        raise ArchitectureError(
            f"head_activation={short(list(given))} has {len(given)} names, but this classifier ({_names(head)}) has "
            f"{len(gaps)} places where something without tensors may stand: {places}. Give one name for each, 'none' "
            "for a Dropout"
        )
    return list(given)


def _names(head: Head) -> str:
    return ", ".join(module.name for module in head.modules if module.kind != "gap") or "none"


def _add(builder: Builder, x: str, module: Module, activations: Any) -> str:
    name, kind, width, _ = module
    if kind == "gap":
        return _activate(builder, name, x, next(activations))
    if kind == "linear":
        return builder.linear(name, x, width)
    if kind == "pointwise":
        return _pointwise(builder, name, x, width)
    if kind == "layer_norm":
        return builder.group_norm(name, x, groups=1, eps=NORM_EPS)
    return _batch_norm(builder, name, x)


def _activate(builder: Builder, name: str, x: str, kind: Any) -> str:
    if isinstance(kind, str):
        return builder.activation(name, x, kind)
    return builder.activation(name, x, kind[0], negative_slope=kind[1])


def _pointwise(builder: Builder, name: str, x: str, out_features: int) -> str:
    """A 1x1 convolution on one position: a linear layer whose weight is stored as (O, C, 1, 1)."""
    features = builder.channels[x]

    def why() -> str:
        return (
            f"  input   (N, {features}, 1, 1)   from {x}\n"
            f"  output  (N, {out_features}, 1, 1)   one feature for each row of {name}.weight\n"
            f"  Pooling leaves one feature a channel. Does the classifier belong to a wider or deeper network?"
        )

    start = uniform_fan_in(features)
    weight = builder.source.take(Wanted(f"{name}.weight", (out_features, features, 1, 1), CONV_AXES, start, why))
    bias = builder.source.take_optional(Wanted(f"{name}.bias", (out_features,), FEATURE_AXES, start, why))
    params = {"weight": weight.reshape(out_features, features), **({} if bias is None else {"bias": bias})}
    return builder.operation(name, "linear", (x,), out_features, params=params)


def _batch_norm(builder: Builder, name: str, x: str) -> str:
    """BatchNorm1d on (C,); without scale and shift where the file has none (affine=False)."""
    if f"{name}.weight" in builder.source:
        return builder.batch_norm(name, x, eps=NORM_EPS)
    channels = builder.channels[x]
    params = {}
    for role, start in (("running_mean", zeros), ("running_var", ones)):
        params[role] = builder.source.take(
            Wanted(f"{name}.{role}", (channels,), CHANNEL_AXES, start, lambda: f"  input   (N, {channels})   from {x}")
        )
    builder.source.skip(f"{name}.{COUNTER}")
    return builder.operation(name, "batch_norm", (x,), params=params, attrs={"eps": NORM_EPS})
