"""One of several classifiers of a file, or none: the option `head`."""

from __future__ import annotations

from collections.abc import Sequence

from npresnet.arch.head.gaps import Layer
from npresnet.arch.head.reading import BODY, layers_in
from npresnet.arch.tensors import Tensors, shorten
from npresnet.config import Decision
from npresnet.errors import ArchitectureError

_OTHERS = ("conv2.", "conv3.", "bn2.", "bn3.", "stem.", "stages.", "norm.", "body.", "attnpool.", "layer0.", "block")
_KERAS = (*(f"conv{stage}_" for stage in range(1, 6)), "post_bn.")
ALL_BODIES = (*BODY, *_OTHERS, *_KERAS)


def choose_head(
    tensors: Tensors, told: str | Sequence[str], *, body: tuple[str, ...] = ALL_BODIES
) -> tuple[Tensors, dict[str, Decision]]:
    """The tensors without other classifiers, and what was left out, as the decision "ignored".

    told  a module's name, or what the names of its modules start with; layers that lead to it are kept. A list: exactly
          these modules, in this order. "none": no classifier
    body  how the names of the body's own tensors start

    Raises ArchitectureError for a name that no classifier has.
    """
    outside = [name for name in tensors if not name.startswith(body)]
    layers = layers_in(tensors, outside)
    chosen = [] if told == "none" else _by_name(layers, told) if isinstance(told, str) else _listed(layers, told)
    order = [layer.name for layer in chosen]
    others = [layer.name for layer in layers if layer.name not in order]
    left_out = [name for name in outside if name.rpartition(".")[0] in others]
    ours = sorted((name for name in outside if name.rpartition(".")[0] in order), key=lambda n: _place(n, order))
    kept = tensors.without(left_out).ordered(ours)
    ignored = Decision(shorten(others), "caller", "other classifiers than the option head names")
    return kept, {"ignored": ignored} if others else {}


def _place(name: str, order: Sequence[str]) -> int:
    return order.index(name.rpartition(".")[0])


def _by_name(layers: list[Layer], told: str) -> list[Layer]:
    ours = [layer for layer in layers if layer.name == told or layer.name.startswith(f"{told}.")]
    if not any(layer.is_linear for layer in ours):
        raise _unknown(told, layers)
    return [*_trunk(layers[: layers.index(ours[0])], ours[0].before), *ours]


def _trunk(before: list[Layer], width: int) -> list[Layer]:
    """Layers that several classifiers share: they lead from the body's features to this width."""
    trunk: list[Layer] = []
    for layer in reversed(before):
        if layer.width == width and (layer.before != width or not layer.is_linear):
            trunk.insert(0, layer)
            width = layer.before
    return trunk


def _listed(layers: list[Layer], told: Sequence[str]) -> list[Layer]:
    by_name = {layer.name: layer for layer in layers}
    parents = {layer.name.rpartition(".")[0] for layer in layers} - {""}
    for name in told:
        if name not in by_name and name.rpartition(".")[0] not in parents:  # a gap may be named: fc.1 of fc.0, fc.2
            raise _unknown(name, layers)
    return [by_name[name] for name in told if name in by_name]


def _unknown(name: str, layers: Sequence[Layer]) -> ArchitectureError:
    there = shorten(map(str, layers)) or "none"
    return ArchitectureError(
        f"head={name!r}: the file has no classifier of that name. The linear layers and norms beside the body are: "
        f"{there}. Give the name of one, or head='none' for the embedding"
    )
