"""A Network and an input size -> where every value lies, and the steps that make it.

Read `shapes`, `lifetimes`, `arena`, `layout`, `steps`. Nothing here names a kernel: a backend lowers a Layout into
Steps.
"""

from __future__ import annotations

from npresnet.plan.layout import Layout, Value, convolution_halos, make_layout
from npresnet.plan.shapes import count_macs, infer_shapes
from npresnet.plan.steps import Plan, Step

__all__ = ["Layout", "Plan", "Step", "Value", "convolution_halos", "count_macs", "infer_shapes", "make_layout"]
