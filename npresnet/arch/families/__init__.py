"""The families of networks, one file each; `family.Family` is the interface of such a file.

A new family is a file here and its name in FAMILIES. The shared parts of residual networks are in `arch/residual.py`,
`stem.py`, `shortcut.py` and `attention.py` (topology), `arch/layout.py` and `residual_options.py` (description and
options) and `arch/reading.py` (what is read from tensors).
"""

from npresnet.arch.families import cifar, detect_and_track, handwritten, resnet3d, timm, torchvision, video
from npresnet.arch.family import Family

FAMILIES: tuple[Family, ...] = (  # the first match counts
    torchvision,
    timm,
    handwritten,
    cifar,
    video,
    resnet3d,
    detect_and_track,
)

__all__ = ["FAMILIES"]
