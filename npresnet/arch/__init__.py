"""Which ResNet is it? Checkpoint keys, shapes and options become a Network and the decisions behind it.

registry      build: select -> refuse what is foreign -> recognise -> settle options -> put together
selection     takes off prefixes, leaves out the heads of detection and segmentation nets
foreign       families that are known and not supported, refused by name
torchvision, handwritten, cifar     the families: how each is recognised, what its keys do not tell
outline, layout, head, options      what is read off the tensors, and what the caller may say
residual, builder, tensors          the layers, one after another, with every shape checked
catalogue, random_init              names, and random weights for them
"""

from npresnet.arch.catalogue import list_archs
from npresnet.arch.options import OPTIONS
from npresnet.arch.random_init import random_tensors
from npresnet.arch.registry import build

__all__ = ["OPTIONS", "build", "list_archs", "random_tensors"]
