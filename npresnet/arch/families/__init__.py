"""The families of networks, one file each; `family.Family` is the interface of such a file.

A new family is a file here and its name in FAMILIES. The shared parts of residual networks are in `arch/residual.py`,
`stem.py`, `shortcut.py` and `attention.py` (topology), `arch/layout.py` and `residual_options.py` (description and
options), `arch/blocks` (further kinds of blocks) and `arch/reading.py` (what is read from tensors).
"""

from npresnet.arch.families import (
    byob,
    cifar,
    clip,
    csp,
    handwritten,
    ibn,
    iresnet,
    res2net,
    resnest,
    sk,
    timm,
    torchvision,
)
from npresnet.arch.family import Family

FAMILIES: tuple[Family, ...] = (  # the first match counts
    torchvision,
    timm,
    handwritten,
    cifar,
    sk,
    resnest,
    res2net,
    ibn,
    clip,
    iresnet,
    byob,
    csp,
)

__all__ = ["FAMILIES"]
