"""What a Caffe2 or Detectron file tells about its network: where its Bottlenecks stride.

- Detectron's models hold their configuration as text (`cfg`), in which STRIDE_1X1 stands.
- Its ImageNet weights are known by their names: R-50.pkl and R-101.pkl (MSRA's), R-50-GN.pkl, X-101-32x8d.pkl.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from npresnet.weights.holders import Entries, name_of

if TYPE_CHECKING:
    from npresnet.weights.facts import Facts

_BOTTLENECK = ("res2_0_branch2c_w", b"res2_0_branch2c_w")
_STRIDE = re.compile(r"\bSTRIDE_1X1: *(true|false)\b", re.IGNORECASE)
_PUBLISHED = re.compile(r"(R-(50|101|152)|(R-(50|101)-GN|X-101-(32x8d|64x4d)|X-152-32x8d-IN5k))")
_MAX_CONFIG = 1 << 20  # characters


def say_strides(facts: Facts, around: list[Entries], path: str) -> None:
    """Record `stride_on` where the file's configuration, or else its name, tells it."""
    if not around or not any(key in around[-1] for key in _BOTTLENECK):
        return
    for entries in reversed(around):
        text = entries.get("cfg", entries.get(b"cfg"))
        found = _STRIDE.search(name_of(text)) if isinstance(text, (str, bytes)) and len(text) <= _MAX_CONFIG else None
        if found:
            facts.say("options", {"stride_on": "1x1" if found[1].lower() == "true" else "3x3"}, "STRIDE_1X1")
            return
    published = _PUBLISHED.fullmatch(os.path.basename(path).removesuffix(".pkl"))
    if published:
        facts.say("options", {"stride_on": "3x3" if published[3] else "1x1"}, f"the name {published[1]}.pkl")
