"""The families of networks, one file each; `family.Family` is the interface of such a file.

A new family is a file here and its name in FAMILIES. The shared parts of residual networks are in `arch/residual.py`,
`stem.py`, `shortcut.py` and `attention.py` (topology), `arch/layout.py` and `residual_options.py` (description and
options) and `arch/reading.py` (what is read from tensors).
"""

from npresnet.arch.families import byob, cifar, clip, csp, handwritten, ibn, iresnet, res2net, resnest, sk, timm, torchvision
from npresnet.arch.family import Family

# The first match counts. Those of special blocks come first: they are told by one name, and may have any stem.
FAMILIES: tuple[Family, ...] = (sk, resnest, res2net, ibn, clip, iresnet, byob, csp, torchvision, timm, handwritten, cifar)

__all__ = ["FAMILIES"]
