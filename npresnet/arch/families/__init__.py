"""The families of networks, one file each; `family.Family` is the interface of such a file.

A new family is a file here and its name in FAMILIES. The shared parts of residual networks are in `arch/residual.py`,
`stem.py`, `shortcut.py` and `attention.py` (topology), `arch/layout.py` and `residual_options.py` (description and
options) and `arch/reading.py` (what is read from tensors).
"""

from npresnet.arch.families import cifar, handwritten, keras_v2, timm, torchvision
from npresnet.arch.family import Family

FAMILIES: tuple[Family, ...] = (torchvision, timm, handwritten, cifar, keras_v2)  # the first match counts

__all__ = ["FAMILIES"]
