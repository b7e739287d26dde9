"""What stands between the layers of a classifier, where the file shows nothing; and the decisions that follow.

A file contains only modules with tensors. `fc.0, fc.2` may be Linear, ReLU, Linear, or Linear, Dropout, Linear, or have
any other activation; `fc1, fc2` likewise. The option `head_activation` settles it.
"""

# No `from __future__ import annotations`: a NamedTuple would compile annotations that are strings, which slows a start.

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from npresnet.arch.head.build import Head, Kind, Module
from npresnet.arch.tensors import OUTSIDE, shorten
from npresnet.config import Decision
from npresnet.errors import ArchitectureError

NORMS = ("batch_norm", "layer_norm")
RELU_ALTERNATIVES = tuple(f"head_activation={name!r}" for name in ("none", "tanh", "gelu"))
NONE_ALTERNATIVES = tuple(f"head_activation={name!r}" for name in ("relu", "tanh", "gelu"))
MOST_BEFORE, MOST_BETWEEN = 3, 2  # modules without tensors: pool, Flatten, Dropout; an activation and a Dropout
CHILDREN = 8  # of a ResNet without its fc: in one Sequential with them, a classifier has a number from there on


class Layer(NamedTuple):
    """A module with tensors; features before and after it."""

    name: str
    kind: Kind
    before: int
    width: int

    @property
    def is_linear(self) -> bool:
        return self.kind not in NORMS

    def __str__(self) -> str:
        return f"{self.name} ({self.width} x {self.before})" if self.is_linear else f"{self.name} ({self.width})"


class Gap(NamedTuple):
    """What is assumed between two modules; alternatives, where networks in use differ."""

    name: str
    assumed: str
    is_ambiguous: bool


def head_of(layers: Sequence[Layer], features: int | None, decisions: dict[str, Decision]) -> Head:
    """The head with these layers, in their order, and what is assumed between them."""
    gaps = _gaps(layers)
    modules: list[Module] = []
    for layer, gap in zip(layers, [None, *gaps], strict=True):
        if gap is not None:
            modules.append(Module(gap.name, "gap", modules[-1].width, gap.assumed))
        modules.append(Module(layer.name, layer.kind, layer.width))
    found = [gap for gap in gaps if gap is not None]
    if found:
        decisions = {**decisions, "head_activation": _activation_decision(found, of_maps=layers[0].kind == "pointwise")}
    num_classes = layers[-1].width
    return Head(
        tuple(modules),
        {**decisions, "global_pool": _pool_decision(layers, features), "scores": scores_decision(num_classes)},
    )


def _gaps(layers: Sequence[Layer]) -> list[Gap | None]:
    """What is assumed between each two layers."""
    _refuse_hidden(layers)
    _refuse_before_the_pool(layers)
    custom = _is_fastai(layers)
    gaps: list[Gap | None] = []
    was_active = False  # an activation since the last linear layer
    for place, (before, after) in enumerate(pairwise(layers)):
        if before.is_linear:
            was_active = False
        is_leading = not any(layer.is_linear for layer in layers[: place + 1])
        gap = _gap(before, after, is_leading, was_active)
        was_active = was_active or (gap is not None and gap.assumed != "none")
        gaps.append(gap._replace(is_ambiguous=False) if gap is not None and custom else gap)
    return gaps


def _gap(before: Layer, after: Layer, is_leading: bool, was_active: bool) -> Gap | None:
    hidden = hidden_between(before.name, after.name)
    if hidden == 0 and _may_be_a_list(before, after):
        return Gap(f"{before.name}.activation", "none", True)
    if hidden == 0 or (hidden is None and not after.is_linear and before.is_linear):
        return None
    name = _place(before, hidden)
    if is_leading:  # BatchNorm and Dropout before the first linear layer; a number left out may be an activation's
        return Gap(name, "none", hidden is not None)
    if _is_bodys_own(before, after) or was_active:
        return Gap(name, "none", True)
    return Gap(name, "relu", True)


def hidden_between(before: str, after: str) -> int | None:
    """Modules without tensors between two of one Sequential; None where they are not of one, or in the wrong order.

    `0.fc` and `1` are neighbours too: nothing follows the fc of a whole ResNet.
    """
    first, second = before.split("."), after.split(".")
    while first and second and first[0] == second[0]:
        del first[0], second[0]
    if not first or not second or not (is_number(first[0]) and is_number(second[0])):
        return None
    whole_net = first[1:] == ["fc"] and len(first) == len(before.split("."))
    if (len(first) > 1 and not whole_net) or int(second[0]) <= int(first[0]):
        return None
    return int(second[0]) - int(first[0]) - 1


def _may_be_a_list(before: Layer, after: Layer) -> bool:
    """Linear layers with nothing between them are seldom in a Sequential: a ModuleList has functions between them."""
    parent = before.name.rpartition(".")[0]
    return parent != "" and after.name.rpartition(".")[0] == parent and before.is_linear and after.is_linear


def _place(before: Layer, hidden: int | None) -> str:
    """The name of what stands after a layer: the next number of its Sequential."""
    parent, _, number = before.name.rpartition(".")
    if hidden is None or not is_number(number):
        return f"{before.name}.activation"
    return f"{parent}.{int(number) + 1}" if parent else str(int(number) + 1)


def _is_bodys_own(before: Layer, after: Layer) -> bool:
    """Whether a whole ResNet's fc (resnet.fc, its 1,000 logits) is followed by a module outside that ResNet."""
    owner, _, name = before.name.rpartition(".")
    outside = not after.name.startswith(f"{owner}.") if owner else before.width == 1000
    return name == "fc" and outside


def _refuse_hidden(layers: Sequence[Layer]) -> None:
    first = layers[0].name.rpartition(".")[2]
    too_far = is_number(first) and "." in layers[0].name and MOST_BEFORE < int(first) < CHILDREN
    hidden = [hidden_between(before.name, after.name) or 0 for before, after in pairwise(layers)]
    if too_far or max(hidden, default=0) > MOST_BETWEEN:
        name = layers[0].name.rpartition(".")[0]
        raise ArchitectureError(
            f"the classifier {name} is a Sequential of which the file shows only "
            f"{shorten(layer.name for layer in layers)}: npresnet reads Linear layers and norms with an activation and "
            f"a Dropout between them, and cannot tell what else stands here. Save the state_dict without {name}.* and "
            f"use the embedding (head='none' does so too), or replace the classifier by one Linear layer"
        )


def _refuse_before_the_pool(layers: Sequence[Layer]) -> None:
    """A 1x1 convolution before linear layers stands before the pool, and its activation too, or after it.

    After a linear layer it has no map to read: it may stand before the network, as an adapter of its channels.
    """
    for place, after in enumerate(layers):
        if after.kind == "pointwise" and any(layer.kind == "linear" for layer in layers[:place]):
            raise ArchitectureError(
                f"{after.name.removeprefix(OUTSIDE)} is a convolution that no layer of the classifier "
                f"{layers[0].name} can feed: does it change the channels of images, or belong to another network? Save "
                f"the state_dict without it if it does not matter"
            )
        if after.kind == "linear" and any(layer.kind == "pointwise" for layer in layers[:place]):
            raise ArchitectureError(
                f"{layers[0].name} is a convolution and {after.name} a linear layer: between them stands the pool, and "
                f"npresnet cannot tell whether an activation stands before it. Give head='none' for the embedding, or "
                f"store the convolution's weight as a linear layer's, (O, C), if there is no activation before the pool"
            )


def scores_decision(num_classes: int) -> Decision:
    """How logits become probabilities: one logit by a sigmoid, several by softmax."""
    if num_classes == 1:
        return Decision("sigmoid", "inferred", "one logit: its sigmoid is the probability of class 1")
    return Decision("softmax", "default")


def _activation_decision(gaps: Sequence[Gap], *, of_maps: bool) -> Decision:
    """of_maps: the first layer is a convolution, which may stand before the pool with all that follows."""
    assumed = [gap.assumed for gap in gaps]
    value = assumed[0] if len(assumed) == 1 else assumed
    is_ambiguous = any(gap.is_ambiguous for gap in gaps)
    active = [gap.name.removeprefix(OUTSIDE) for gap in gaps if gap.assumed != "none"]
    note = (
        f"{shorten(active)} taken for ReLU"
        if active
        else f"{shorten(g.name.removeprefix(OUTSIDE) for g in gaps)} taken for nothing or a Dropout"
    )
    if not is_ambiguous:
        return Decision(value, "default", note)
    alternatives = RELU_ALTERNATIVES if active else NONE_ALTERNATIVES
    if of_maps and active:
        note += ", and the pool to stand before these convolutions: after them is not supported"
    return Decision(value, "default", f"{note}; the tensors cannot tell", alternatives)


def _pool_decision(layers: Sequence[Layer], features: int | None) -> Decision:
    """Twice the body's features mean both pools; fastai, whose head starts with a BatchNorm, has max first."""
    if features is None or layers[0].before != 2 * features:
        return Decision("avg", "default")
    if _is_fastais_start(layers):
        return Decision("catmaxavg", "inferred", "twice the features, and a BatchNorm first: fastai's head")
    note = f"{2 * features} features of {features} channels: both pools, timm's order, unless they are of two images"
    return Decision("catavgmax", "default", note, ("global_pool='catmaxavg'", "head='none'"))


def _is_fastais_start(layers: Sequence[Layer]) -> bool:
    """AdaptiveConcatPool2d, Flatten, BatchNorm1d."""
    return layers[0].kind == "batch_norm" and layers[0].name.rpartition(".")[2] == "2"


def _is_fastai(layers: Sequence[Layer]) -> bool:
    """fastai's create_head: pool, Flatten, (BatchNorm1d, Dropout, Linear, ReLU), BatchNorm1d, Dropout, Linear."""
    kinds = [layer.kind for layer in layers]
    hidden = [hidden_between(before.name, after.name) for before, after in pairwise(layers)]
    return kinds == ["batch_norm", "linear"] * 2 and hidden == [1, 1, 1] and _is_fastais_start(layers)


def is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 6
