"""Beside some torch builds torchvision's compiled operators do not load, and importing it fails, although no classifier
needs them. Their names in TORCHVISION_OPERATORS are declared here, which takes next to no time; mostly it is not set.
"""

import os

if os.environ.get("TORCHVISION_OPERATORS"):
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in os.environ["TORCHVISION_OPERATORS"].split():
        library.define(f"{name}(Tensor unused) -> Tensor")
