"""Finding the classifier in a file: among the tensors that are no body's, whatever they are called.

Linear layers (also 1x1 convolutions), BatchNorm1d and LayerNorm whose widths form a chain from the body's features on.
A file contains only modules with tensors, so what stands in a gap (`fc.0, fc.2`; `fc1, fc2`) it cannot tell: an
activation, a Dropout or nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from npresnet.arch.head.build import Head, Kind
from npresnet.arch.head.gaps import Layer, head_of, hidden_between, is_number
from npresnet.arch.source import CONV_AXES, LINEAR_AXES
from npresnet.arch.tensors import Tensors, agreed, shorten
from npresnet.config import Decision
from npresnet.errors import ArchitectureError

BODY = (
    "conv1.",
    "bn1.",
    "maxpool.",
    *(f"layer{stage}." for stage in range(1, 10)),
)  # how the names of a body's tensors start
PROJECTIONS = ("proj", "predictor", "prototype")  # how modules are called that serve a self-supervised loss alone
# Modules whose result is multiplied with the features, or added to them: they are no links of a chain.
BESIDE_THE_CHAIN = (
    r"(?i)(^|\.)((\w+_)?(se|ca|sa|cbam|eca|scse|attn|att|attentions?|gates?|gating|excitation|adapters?)[0-9]*"
    r"|(channel|spatial|self)_?att\w*|lora_\w+|se_\w+|query|key|(to_)?qkv|to_[qkv]|[qkv]_?proj)(\.|$)"
)
# Weights of a loss of angles: its logits are s * cos(angle), or those of a linear layer without a bias.
ANGULAR = (
    r"(?i)arc|cos|sphere|margin|angular|magface|curricular|adaface|amsoftmax|am_softmax|sub_?center|metric|product|prox"
)
# Names of a table of vectors, an nn.Embedding, whose tensor is that of a linear layer without a bias.
TABLE = r"(?i)(^|[._])(\w*emb(ed(ding)?)?s?|\w*table|codebook|vocab(ulary)?|memory(_?bank)?|cent(er|roid)s?|anchors?)$"
# Norms without statistics are LayerNorms by these names, but not by those.
LAYER_NORM = r"(?i)(^|\.)(\w*(norm|ln)\w*|[0-9]+)$"
NO_LAYER_NORM = r"(?i)(^|\.)\w*(bn|gn|batch|group|inst|scale|affine|shift|film|cond)\w*$"
MAX_MODULES = 8  # of a head whose order is searched for; more are taken in the file's order


def read_head(tensors: Tensors, features: int | None = None, *, body: tuple[str, ...] = BODY) -> Head:
    """The classifier of a file.

    features  channels of the body's last map; None: not known, then the first layer's width is not checked here
    body      how the names of the body's own tensors start

    Raises ArchitectureError where several classifiers stand side by side, and where too much is hidden in a Sequential.
    """
    names = [name for name in tensors if not name.startswith(body)]
    layers = layers_in(tensors, names)
    if not any(layer.is_linear for layer in layers):
        return Head(decisions={"global_pool": Decision("avg", "default")})
    chains = _chains(layers, features) if len(layers) > 1 else [layers]
    if not chains:
        _refuse_siblings(layers, features)
        chains = [layers]  # the builder names the layer that does not fit
    chain = _up_to_the_logits(chains[0])
    return head_of(chain, features, _angular(tensors, chain) or _head_decision(chains, names))


def _up_to_the_logits(layers: list[Layer]) -> list[Layer]:
    """A norm at the end belongs to an embedding; it is left to the builder, which refuses it."""
    last = max(place for place, layer in enumerate(layers) if layer.is_linear)
    return layers[: last + 1]


def _angular(tensors: Tensors, chain: Sequence[Layer]) -> dict[str, Decision]:
    """The decision `head` for a classifier called like a loss of angles or a table, without a bias; otherwise none."""
    name = chain[-1].name
    if f"{name}.bias" in tensors:
        return {}
    if re.search(ANGULAR, name):
        note = "named like a loss of angles, whose logits are s * cos(angle), and computed as a linear layer"
    elif re.search(TABLE, name):
        note = "named like a table of vectors, which need not read the features, and computed as a linear layer"
    else:
        return {}
    return {"head": Decision([layer.name for layer in chain], "default", note, ("head='none'",))}


# --- modules ---------------------------------------------------------------------------------------------------------


def layers_in(tensors: Tensors, names: Iterable[str]) -> list[Layer]:
    """The linear layers and norms among these tensors: those of a Sequential by number, all others as in the file."""
    return _in_order(_layers(tensors, names))


def _layers(tensors: Tensors, names: Iterable[str]) -> Iterator[Layer]:
    """In the file's order; other modules, and a projection for a loss, are left to the builder, which refuses them."""
    for module in dict.fromkeys(name.rpartition(".")[0] for name in names):
        if any(part.startswith(PROJECTIONS) for part in module.split(".")) or re.search(BESIDE_THE_CHAIN, module):
            continue
        shape = tensors.shape_of(f"{module}.weight")
        has_statistics = f"{module}.running_mean" in tensors
        if shape is None:
            if has_statistics:
                yield _norm(tensors, module, "batch_norm")
        elif len(shape) == 2 or (len(shape) == 4 and shape[2:] == (1, 1)):
            rows = [shape[0], tensors.length(f"{module}.bias", 0, ndim=1)]
            axes = LINEAR_AXES if len(shape) == 2 else CONV_AXES
            width = agreed(rows) or tensors.peek(f"{module}.weight", axes).shape[0]
            yield Layer(module, "linear" if len(shape) == 2 else "pointwise", shape[1], width)
        elif len(shape) == 1 and (has_statistics or (f"{module}.bias" in tensors and _is_layer_norm(module))):
            yield _norm(tensors, module, "batch_norm" if has_statistics else "layer_norm")


def _is_layer_norm(module: str) -> bool:
    return re.search(LAYER_NORM, module) is not None and not re.search(NO_LAYER_NORM, module)


def _norm(tensors: Tensors, module: str, kind: Kind) -> Layer:
    roles = ("weight", "bias", "running_mean", "running_var")
    width = agreed(tensors.length(f"{module}.{role}", 0, ndim=1) for role in roles)
    return Layer(module, kind, width, width)


def _in_order(layers: Iterable[Layer]) -> list[Layer]:
    found = list(layers)
    seen: dict[tuple[str, ...], int] = {}

    def key(layer: Layer) -> list[tuple[int, int]]:
        parts = tuple(layer.name.split("."))
        heads = (parts[: i + 1] for i in range(len(parts)))
        return [_number_or_place(head, seen) for head in heads]

    keys = {layer.name: key(layer) for layer in found}
    return sorted(found, key=lambda layer: keys[layer.name])


def _number_or_place(path: tuple[str, ...], seen: dict[tuple[str, ...], int]) -> tuple[int, int]:
    place = seen.setdefault(path[:-1] if is_number(path[-1]) else path, len(seen))
    return (place, int(path[-1])) if is_number(path[-1]) else (place, 0)


# --- chains ----------------------------------------------------------------------------------------------------------


def _starts(features: int | None, layers: Sequence[Layer]) -> tuple[int, ...]:
    """The features that a pool may give: one for each channel, or two."""
    return (features, 2 * features) if features is not None else tuple({layer.before: 0 for layer in layers})


def _chains(layers: Sequence[Layer], features: int | None) -> list[list[Layer]]:
    """At most two orders in which all layers fit, the file's own first; the last one is linear."""
    if len(layers) > MAX_MODULES:
        orders = iter([list(layers)] if _fits(layers, features) else [])
    else:
        before = {
            after.name: {layer.name for layer in layers if hidden_between(layer.name, after.name) is not None}
            for after in layers
        }
        orders = _orders([], list(layers), _starts(features, layers), before)
    return [order for order, _ in zip(orders, range(2), strict=False)]


def _orders(
    done: list[Layer], left: list[Layer], widths: tuple[int, ...], before: Mapping[str, set[str]]
) -> Iterator[list[Layer]]:
    """All orders that fit. `before`: the modules of the same Sequential that come before each."""
    if not left:
        if done[-1].is_linear:
            yield done
        return
    waiting = {layer.name for layer in left}
    for place, layer in enumerate(left):
        if layer.before in widths and not before[layer.name] & waiting:
            yield from _orders([*done, layer], left[:place] + left[place + 1 :], (layer.width,), before)


def _fits(layers: Sequence[Layer], features: int | None) -> bool:
    if not layers or layers[0].before not in _starts(features, layers):
        return False
    return all(after.before == before.width for before, after in pairwise(layers))


def _refuse_siblings(layers: Sequence[Layer], features: int | None) -> None:
    """Raise ArchitectureError where several linear layers read the same features."""
    widths = Counter(layer.before for layer in layers if layer.is_linear)
    start = features if widths[features or 0] > 1 else widths.most_common(1)[0][0]
    siblings = [layer for layer in layers if layer.is_linear and layer.before == start]
    if len(siblings) > 1:
        options = " or ".join(f"head={layer.name!r}" for layer in siblings[:4])
        raise ArchitectureError(
            f"the file has several classifiers on {start} features: {shorten(map(str, siblings))} (out_features x "
            f"in_features); npresnet answers with one. Give {options}, or head='none' for the embedding"
        )


def _head_decision(chains: Sequence[Sequence[Layer]], names: Sequence[str]) -> dict[str, Decision]:
    """`head`, where it is more than one layer; ambiguous where widths allow two orders and the file is sorted."""
    order, *others = [[layer.name for layer in chain] for chain in chains]
    if len(order) == 1:
        return {}
    if others and list(names) == sorted(names):
        note = "the file is sorted by name, so that the order of its modules is lost"
        return {"head": Decision(order, "default", note, (f"head={others[0]}",))}
    return {"head": Decision(order, "inferred")}
