"""The families of networks, one file each; `family.Family` says what such a file provides.

A new family is a file here and its name in FAMILIES. Shared pieces of residual networks stand in `arch/residual.py`
(topology), `arch/layout.py` (options) and `arch/reading.py` (what is read off tensors).
"""

from npresnet.arch.families import cifar, handwritten, torchvision
from npresnet.arch.family import Family

FAMILIES: tuple[Family, ...] = (torchvision, handwritten, cifar)  # the first whose signature a file has counts

__all__ = ["FAMILIES"]
