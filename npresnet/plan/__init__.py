"""Planning shared by both backends: from a Network and an input size to the memory layout of values and steps.

Reading order: `shapes`, `lifetimes`, `arena`, `layout`, `steps`; `lowering` and `executable` are the protocols that a
backend implements. Nothing here depends on a particular kernel or operation.
"""

from __future__ import annotations

from npresnet.plan.layout import Layout, Value, make_layout
from npresnet.plan.shapes import count_macs, infer_shapes
from npresnet.plan.steps import Plan, Step

__all__ = [
    "Layout",
    "Plan",
    "Step",
    "Value",
    "count_macs",
    "infer_shapes",
    "make_layout",
]
