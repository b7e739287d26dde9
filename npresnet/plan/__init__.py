"""A Network and an input size -> where every value lies, and the steps that make it. What both backends share.

Read `shapes`, `lifetimes`, `arena`, `layout`, `steps`; `lowering` and `executable` say what a backend has to provide.
Nothing here names a kernel or an operation.
"""

from __future__ import annotations

from npresnet.plan.layout import Layout, Value, convolution_halos, make_layout
from npresnet.plan.shapes import count_macs, infer_shapes
from npresnet.plan.steps import Plan, Step

__all__ = [
    "Layout",
    "Plan",
    "Step",
    "Value",
    "convolution_halos",
    "count_macs",
    "infer_shapes",
    "make_layout",
]
