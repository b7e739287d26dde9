"""A pooled value and one linear layer, under the names that a family gives them."""

from __future__ import annotations

from typing import NamedTuple

from npresnet.arch.builder import Builder
from npresnet.arch.source import CONV_AXES, FEATURE_AXES, Wanted, uniform_fan_in
from npresnet.arch.tensors import Tensors, agreed
from npresnet.errors import ArchitectureError


class Names(NamedTuple):
    """The nodes of a head: the pool, its flattened result, the linear layer."""

    pool: str
    flatten: str
    linear: str


def read_classes(tensors: Tensors, name: str) -> int | None:
    """The classes of the linear layer or 1x1 convolution `name`; None where the file has none."""
    if f"{name}.weight" not in tensors:
        return None
    shape = tensors.shape(f"{name}.weight")
    if len(shape) not in (2, 4) or 0 in shape:
        raise ArchitectureError(
            f"{name}.weight has shape {shape}, but should be a linear layer's, (out_features, in_features), or a 1x1 "
            f"convolution's, (out_channels, in_channels, 1, 1), without empty axes"
        )
    return agreed([shape[0], tensors.length(f"{name}.bias", 0, ndim=1)])


def pool_and_classify(
    builder: Builder, x: str, num_classes: int | None, names: Names, *, pointwise: bool = False
) -> dict[str, str]:
    """Global average pool, flatten, linear layer; the output is "logits", or "embedding" where there are no classes.

    pointwise  the classifier's weight is that of a 1x1 convolution, (num_classes, C, 1, 1). On a pooled value both are
               the same, so that it becomes a linear layer
    """
    pool, flatten, linear = names
    x = builder.global_avg_pool(pool, x)  # (N, C, 1, 1)
    x = builder.flatten(flatten, x)  # (N, C)
    if num_classes is None:
        return {"embedding": x}
    shape = builder.source.shape_of(f"{linear}.weight")
    if not (pointwise if shape is None else len(shape) == 4):
        return {"logits": builder.linear(linear, x, num_classes)}
    return {"logits": _pointwise(builder, linear, x, num_classes)}


def _pointwise(builder: Builder, name: str, x: str, out_features: int) -> str:
    features = builder.channels[x]
    start = uniform_fan_in(features)

    def why() -> str:
        return (
            f"  input   (N, {features}, 1, 1)   from {x}\n"
            f"  The classifier is a 1x1 convolution over the pooled features. Does it belong to another network?"
        )

    wanted = Wanted(f"{name}.weight", (out_features, features, 1, 1), CONV_AXES, start, why)
    params = {"weight": builder.source.take(wanted).reshape(out_features, features)}
    bias = builder.source.take_optional(Wanted(f"{name}.bias", (out_features,), FEATURE_AXES, start, why))
    if bias is not None:
        params["bias"] = bias
    return builder.operation(name, "linear", (x,), out_features, params=params)
