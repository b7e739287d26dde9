"""With some torch builds torchvision's compiled operators do not load, and importing it fails, although no classifier
needs them. This declares the names in TORCHVISION_OPERATORS, in negligible time; usually the variable is not set.
"""

import os

if os.environ.get("TORCHVISION_OPERATORS"):
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in os.environ["TORCHVISION_OPERATORS"].split():
        library.define(f"{name}(Tensor unused) -> Tensor")
