"""The classifier: one linear layer, a Sequential around it, or none. Found in a file, and added to a network."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from npresnet.arch.builder import Builder
from npresnet.arch.homes.torchvision import CLASSIFIERS
from npresnet.arch.source import LINEAR_AXES
from npresnet.arch.tensors import Tensors, agreed
from npresnet.errors import ArchitectureError

Modules = tuple[tuple[str, int | None], ...]  # (name, out_features of a linear layer or None for a ReLU), in order


class Head(NamedTuple):
    """Modules of the classifier, () for none, and any assumption made about them."""

    modules: Modules = ()
    note: str = ""

    @property
    def num_classes(self) -> int | None:
        """Rows of the last linear layer."""
        return self.modules[-1][1] if self.modules else None


def read_head(tensors: Tensors) -> Head:
    """Find the classifier by name; a Sequential must be readable as Linear layers with at most a ReLU between.

    A file contains only modules with weights, so in `fc.0, fc.2` the module fc.1 is assumed to be a ReLU, as is usual.
    At most one Dropout may precede the first Linear, and at most a ReLU and a Dropout may follow one; more is refused.
    """
    for name in CLASSIFIERS:
        if f"{name}.weight" in tensors:
            return Head(((name, _out_features(tensors, name)),))
        numbers = tensors.numbers_after(f"{name}.")
        if numbers:
            return _read_sequential(tensors, name, numbers)
    return Head()


def pool_and_classify(builder: Builder, x: str, modules: Modules) -> dict[str, str]:
    """Global average pool, flatten, classifier. The output is "logits", or "embedding" where there is no classifier."""
    x = builder.global_avg_pool("avgpool", x)  # (N, C, 1, 1)
    x = builder.flatten("flatten", x)  # (N, C)
    for name, out_features in modules:
        x = builder.relu(name, x) if out_features is None else builder.linear(name, x, out_features)
    return {"logits" if modules else "embedding": x}


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
    modules: list[tuple[str, int | None]] = []
    for before, number in pairwise([numbers[0], *numbers]):
        if number - before > 1:
            modules.append((f"{name}.{before + 1}", None))
        modules.append((f"{name}.{number}", _out_features(tensors, f"{name}.{number}")))
    assumed = [module for module, out_features in modules if out_features is None]
    note = f"{', '.join(assumed)} taken for ReLU; the tensors cannot tell" if assumed else "a Dropout does nothing here"
    return Head(tuple(modules), note)


def _out_features(tensors: Tensors, name: str) -> int:
    lengths = [tensors.length(f"{name}.weight", 0, ndim=2), tensors.length(f"{name}.bias", 0, ndim=1)]
    return agreed(lengths) or tensors.peek(f"{name}.weight", LINEAR_AXES).shape[0]
