"""The pool and the classifier under the names that a family gives them; otherwise as in `head`."""

# No `from __future__ import annotations`: a NamedTuple would compile annotations that are strings, which slows a start.

from collections.abc import Mapping
from typing import Any, NamedTuple

from npresnet.arch.builder import Builder
from npresnet.arch.head import build as heads
from npresnet.arch.head.build import Head, Module


class Names(NamedTuple):
    """The nodes of a head: the average pool, its flattened result, and the linear layer of a network without a file."""

    pool: str
    flatten: str
    linear: str


def pool_and_classify(
    builder: Builder, x: str, names: Names, options: Mapping[str, Any], *, pointwise: bool = False
) -> dict[str, str]:
    """Pool, flatten, classify: as `build.pool_and_classify`, but the pool and what is flattened have these names.

    options    of a family's `build`: file_head, num_classes, global_pool, head_activation
    pointwise  without a file the classifier is a 1x1 convolution; on pooled values that is a linear layer
    """
    head = options.get("file_head") or _usual(names.linear, options.get("num_classes"), pointwise)
    global_pool = options.get("global_pool") or "avg"
    is_average = global_pool == "avg"
    x = builder.global_avg_pool(names.pool, x) if is_average else heads.pool(builder, x, global_pool)
    return heads.classify(builder, builder.flatten(names.flatten, x), head, options.get("head_activation"))


def _usual(name: str, num_classes: int | None, pointwise: bool) -> Head:
    return Head((Module(name, "pointwise" if pointwise else "linear", num_classes),) if num_classes else ())
