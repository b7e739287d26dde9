"""The classifier: one linear layer, a Sequential around it, or none."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from npresnet.arch.tensors import LINEAR_AXES, Tensors
from npresnet.errors import ArchitectureError

NAMES = ("fc", "linear", "classifier")  # torchvision and timm; CIFAR nets; nets put together by hand


class Head(NamedTuple):
    """Modules of the classifier in order, () for none (those without a weight are ReLUs), and what was assumed."""

    modules: tuple[str, ...] = ()
    note: str = ""


def read_head(tensors: Tensors) -> Head:
    """Find the classifier by name; a Sequential must be readable as Linear layers with at most a ReLU between.

    Only modules with weights stand in a file, so of `fc.0, fc.2` one must guess what fc.1 is: a ReLU, as usual. Before
    the first Linear comes at most one Dropout, and between two at most a ReLU and a Dropout; more is refused.
    """
    for name in NAMES:
        if f"{name}.weight" in tensors:
            return Head((name,))
        numbers = tensors.numbers_after(f"{name}.")
        if numbers:
            return _read_sequential(tensors, name, numbers)
    return Head()


def num_classes(tensors: Tensors, head: Head) -> int | None:
    """Rows of the last linear layer."""
    return int(tensors.peek(f"{head.modules[-1]}.weight", LINEAR_AXES).shape[0]) if head.modules else None


def _read_sequential(tensors: Tensors, name: str, numbers: list[int]) -> Head:
    weights = [f"{name}.{i}.weight" for i in numbers]
    linear = all(weight in tensors and len(tensors.shape(weight)) == 2 for weight in weights)
    gaps = [after - before for before, after in pairwise(numbers)]
    if not linear or numbers[0] > 1 or max(gaps, default=1) > 3:
        there = ", ".join(f"{name}.{i}" for i in numbers)
        raise ArchitectureError(
            f"the classifier {name} is a Sequential of which the file shows only {there}: npresnet reads Linear layers "
            f"with a ReLU and a Dropout between them, and cannot tell what else stands here. Save the state_dict "
            f"without {name}.* and use the embedding, or replace the classifier by one Linear layer"
        )
    modules: list[str] = [f"{name}.{numbers[0]}"]
    for before, after in pairwise(numbers):
        modules += ([f"{name}.{before + 1}"] if after - before > 1 else []) + [f"{name}.{after}"]
    assumed = [module for module in modules if f"{module}.weight" not in tensors]
    note = f"{', '.join(assumed)} taken for ReLU; the tensors cannot tell" if assumed else "a Dropout does nothing here"
    return Head(tuple(modules), note)
