"""Names of architectures: which blocks, depths, groups and widths each stands for, and which name a net deserves."""

from __future__ import annotations

import re
from typing import NamedTuple

from npresnet.errors import ArchitectureError

CIFAR_DEPTHS = (20, 32, 44, 56, 110)


class Entry(NamedTuple):
    """What a name says about a net."""

    block: str
    layers: tuple[int, ...]
    groups: int = 1
    width_per_group: int = 64
    small: bool = False  # for CIFAR: 3x3 stem

    def __str__(self) -> str:
        wide = f", groups {self.groups}, width_per_group {self.width_per_group}"
        extra = wide if (self.groups, self.width_per_group) != (1, 64) else ""
        return f"{self.block}s {list(self.layers)}{extra}, {'3x3' if self.small else '7x7'} stem"


TORCHVISION = {
    "resnet18": Entry("BasicBlock", (2, 2, 2, 2)),
    "resnet34": Entry("BasicBlock", (3, 4, 6, 3)),
    "resnet50": Entry("Bottleneck", (3, 4, 6, 3)),
    "resnet101": Entry("Bottleneck", (3, 4, 23, 3)),
    "resnet152": Entry("Bottleneck", (3, 8, 36, 3)),
    "resnext50_32x4d": Entry("Bottleneck", (3, 4, 6, 3), 32, 4),
    "resnext101_32x8d": Entry("Bottleneck", (3, 4, 23, 3), 32, 8),
    "resnext101_64x4d": Entry("Bottleneck", (3, 4, 23, 3), 64, 4),
    "wide_resnet50_2": Entry("Bottleneck", (3, 4, 6, 3), 1, 128),
    "wide_resnet101_2": Entry("Bottleneck", (3, 4, 23, 3), 1, 128),
}
OTHERS = {
    "resnet10": Entry("BasicBlock", (1, 1, 1, 1)),
    "resnet14": Entry("Bottleneck", (1, 1, 1, 1)),
    "resnet26": Entry("Bottleneck", (2, 2, 2, 2)),
    "resnet200": Entry("Bottleneck", (3, 24, 36, 3)),
}


def list_archs() -> list[str]:
    """The names that `random_tensors` makes and `arch=` takes: torchvision's ten, other depths, CIFAR's."""
    return [*TORCHVISION, *OTHERS, *(f"cifar_resnet{depth}" for depth in CIFAR_DEPTHS)]


def entry_of(name: object) -> Entry:
    """What a name stands for. Raises ArchitectureError for a name that is not in `list_archs` (any 6n+2 counts)."""
    if not isinstance(name, str):
        raise ArchitectureError(f"an architecture goes by its name, such as 'resnet50', not {name!r}")
    if name in TORCHVISION or name in OTHERS:
        return (TORCHVISION | OTHERS)[name]
    depth = re.fullmatch(r"(?:cifar_resnet|resnet)([0-9]{1,4})", name)
    if depth and int(depth[1]) >= 8 and int(depth[1]) % 6 == 2:
        return Entry("BasicBlock", (int(depth[1]) // 6,) * 3, small=True)
    import difflib  # only where something is wrong

    close = difflib.get_close_matches(name, list_archs(), n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    raise ArchitectureError(f"there is no architecture called {name[:60]!r}.{hint} Known are {', '.join(list_archs())}")


def name_of(entry: Entry) -> str:
    """The name of such a net: one of `list_archs`, cifar_resnet<6n+2>, or plain "resnet" or "cifar_resnet"."""
    same_depth = Entry(entry.block, entry.layers, entry.groups, entry.width_per_group)
    for name, known in (TORCHVISION | OTHERS).items():
        if known == same_depth:
            return f"cifar_{name}" if entry.small else name
    if entry.small and entry.block == "BasicBlock" and len(set(entry.layers)) == 1 and len(entry.layers) == 3:
        return f"cifar_resnet{6 * entry.layers[0] + 2}"
    return "cifar_resnet" if entry.small else "resnet"
