"""`nn.Sequential(*model.children())`, and fastai's body: a ResNet whose modules are numbered.

    0, 1          conv1, bn1
    2, 3          ReLU and max pool, without tensors
    4, 5, 6, 7    layer1 .. layer4
    8, 9, ...     the pool, and what stands after it under its own number

Where the ReLU or the pool is no module, the stages begin at 3 or 2. A number less with a stem of 7x7 is ambiguous: the
ReLU may be a function, or the pool missing.
"""

from __future__ import annotations

from npresnet.arch.homes.home import Home

NO_MODULE = "one module less than torchvision's between the first convolution and the stages"
POOL_OR_NOT = {"max_pool": ("max_pool=False",)}


def _children(first: int, stem: str) -> Home:
    """The table for stages that begin at number `first`, and a first convolution or Sequential of this name."""
    stages = ((rf"^{first + i}\.(?=[0-9]+\.)", f"layer{i + 1}.") for i in range(5))
    renamed = ((r"^0\.", "conv1."), (r"^1\.(?![0-9])", "bn1."), *stages)
    home = Home(home="nn.Sequential(*model.children())", marks=(f"{first}.0.conv1.weight", stem), renamed=renamed)
    if first == 4:
        return home
    return home._replace(
        implied={"max_pool": True}, where=r"^conv1\.weight$", because=NO_MODULE, alternatives=POOL_OR_NOT, stem_side=7
    )


SEQUENTIAL: tuple[Home, ...] = tuple(  # the lowest first stage counts
    _children(first, stem) for first in (2, 3, 4) for stem in ("0.weight", "0.0.weight")
)
