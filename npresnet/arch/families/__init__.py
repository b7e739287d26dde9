"""The families of networks, one file each; `family.Family` is the interface of such a file.

A new family is a file here and its name in FAMILIES. The shared parts of residual networks are in `arch/residual.py`
(topology), `arch/layout.py` (options) and `arch/reading.py` (what is read from tensors).
"""

from npresnet.arch.families import cifar, handwritten, nfnet, resnetv2, torchvision
from npresnet.arch.family import Family

FAMILIES: tuple[Family, ...] = (torchvision, handwritten, cifar, resnetv2, nfnet)  # the first match counts

__all__ = ["FAMILIES"]
