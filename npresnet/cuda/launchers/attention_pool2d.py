"""CLIP's attention pool: kernels/attention_pool2d/attention_pool2d.cu."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from npresnet.cuda.activation import NONE, Activation
from npresnet.cuda.compiler.layout import FLOAT_BYTES
from npresnet.cuda.elements import Element, store
from npresnet.cuda.launch import Launch
from npresnet.cuda.launchers.lowering import EVERY_ACTIVATION, Bound, Lowering, Place, Request
from npresnet.cuda.launchers.vectors import ceil_div, source_for
from npresnet.errors import ArchitectureError
from npresnet.network import Array, Node

FILE = "attention_pool2d/attention_pool2d.cu"
THREADS, ROW_WARPS = 256, 4
MOST_TOKENS = 12_000  # whose logits fit the 48 KiB of shared memory that every block may have

# kernels/attention_pool2d/attention_pool2d.cu, struct Rows: the same fields in the same order
ROWS = np.dtype([(name, np.int32) for name in ("C", "O", "image_stride", "rows_of_head")])


class AttentionShape(NamedTuple):
    """The sizes: T tokens of C channels, E numbers in `heads` heads, O outputs; without a projection O is E."""

    images: int
    positions: int
    channels: int
    heads: int
    embedding: int
    outputs: int
    has_projection: bool = True

    @property
    def tokens(self) -> int:
        """Of an image: the mean and the positions."""
        return self.positions + 1

    def workspace(self) -> dict[str, int]:
        """Purpose -> float32 numbers of all images."""
        heads = self.heads * self.channels
        each = {"tokens": self.tokens * self.channels, "q": self.embedding, "keys": heads, "sums": heads}
        return {purpose: self.images * count for purpose, count in {**each, "pooled": self.embedding}.items()}


def launches(
    shape: AttentionShape,
    element: Element,
    *,
    x: int,
    y: int,
    weights: Mapping[str, int],
    workspace: int,
    activation: Activation = NONE,
) -> list[Launch]:
    """Multi-head attention with one query, as `npresnet.ops.attention_pool2d` specifies it.

    x         (N, positions, C)   element's storage
    y         (N, O)              element's storage
    weights   addresses: pos_embed (T, C) float32; q_weight (E, C), already over sqrt(D), k_weight, v_weight (E, C) and
              proj_weight (O, E), element's storage; q_bias, v_bias (E,) and proj_bias (O,) float32, never absent
    workspace  address of as many float32 as `shape.workspace()` says, one purpose after the other

    At most 65,535 images and 12,000 tokens.
    """
    N, C, T, E, heads = shape.images, shape.channels, shape.tokens, shape.embedding, shape.heads
    depth, source = E // heads, source_for(FILE, element)
    at = dict(zip(shape.workspace(), np.cumsum([0, *shape.workspace().values()]).tolist(), strict=False))
    place = {purpose: np.uint64(workspace + FLOAT_BYTES * offset) for purpose, offset in at.items()}
    address = {role: np.uint64(found) for role, found in weights.items()}

    def rows(name: str, role: str, sizes: tuple[int, int, int, int], out: str | None) -> Launch:
        """A product of the weight with vectors of the workspace; `out` None: the result."""
        targets = (np.uint64(0), np.uint64(y)) if out is None else (place[out], np.uint64(0))
        ending = activation if out is None else NONE
        operands = (place[name], address[f"{role}_weight"], address[f"{role}_bias"])
        args = (*operands, *targets, np.array([sizes], ROWS), ending.struct())
        return Launch(source, "attention_rows", (ceil_div(sizes[1], ROW_WARPS), N, 1), (32, ROW_WARPS, 1), args)

    blocks, block = ceil_div(C, THREADS), (THREADS, 1, 1)
    tokens = (np.uint64(x), address["pos_embed"], place["tokens"], np.int32(shape.positions), np.int32(C))
    keys = (place["q"], address["k_weight"], place["keys"], np.int32(C), np.int32(depth))
    sums = (place["keys"], place["tokens"], place["sums"], np.int32(T), np.int32(C))
    pooled = None if not shape.has_projection else "pooled"
    found = [
        Launch(source, "attention_tokens", (blocks, N, 1), block, tokens),
        rows("tokens", "q", (C, E, T * C, E), "q"),
        Launch(source, "attention_keys", (blocks, heads, N), block, keys),
        Launch(source, "attention_sums", (heads, N, 1), block, sums, shared_bytes=FLOAT_BYTES * T),
        rows("sums", "v", (C, E, heads * C, depth), pooled),
    ]
    return found if pooled is None else [*found, rows("pooled", "proj", (E, shape.outputs, E, shape.outputs), None)]


class AttentionPool2dLowering(Lowering):
    """Six launches, the values between them float32."""

    fuses = EVERY_ACTIVATION

    def choose(self, request: Request) -> None:
        """Nothing; but the logits of a head have to fit a block."""
        tokens = request.stored[request.node.inputs[0]].positions + 1
        if tokens > MOST_TOKENS:
            raise ArchitectureError(
                f"{request.node.name}: the GPU backend's attention pool takes up to {MOST_TOKENS} tokens, got {tokens}"
            )

    def scratch(self, bound: Bound) -> Mapping[str, int]:
        return {purpose: FLOAT_BYTES * count for purpose, count in self._shape(bound).workspace().items()}

    def lower(self, bound: Bound, place: Place) -> list[Launch]:
        node = bound.node
        shape = self._shape(bound)
        roles = [f"{role}_{kind}" for role in ("q", "k", "v", "proj") for kind in ("weight", "bias")]
        wanted = ["pos_embed", *(role for role in roles if shape.has_projection or not role.startswith("proj"))]

        def address(role: str) -> int:
            return place.weights.address((node.name, role), lambda: _packed(node, role, shape, bound.element))

        return launches(
            shape,
            bound.element,
            x=place.address(node.inputs[0]),
            y=place.address(node.name),
            weights={role: address(role) for role in wanted if role != "k_bias"},
            workspace=place.workspace,
            activation=self.fused(node),
        )

    def _shape(self, bound: Bound) -> AttentionShape:
        source, params = bound.layout.values[bound.node.inputs[0]], bound.node.params
        embedding, channels = params["q_weight"].shape
        projection = params.get("proj_weight")
        sizes = (channels, bound.node.attrs["num_heads"], embedding)
        if projection is None:
            return AttentionShape(source.images, source.stored.positions, *sizes, embedding, has_projection=False)
        return AttentionShape(source.images, source.stored.positions, *sizes, len(projection))


def _packed(node: Node, role: str, shape: AttentionShape, element: Element) -> Array:
    """A parameter as the kernels read it."""
    if role == "pos_embed":
        return node.params[role].astype(np.float32)
    if role.endswith("bias"):
        count = shape.outputs if role == "proj_bias" else shape.embedding
        bias = node.params.get(role, np.zeros(count))
        return (bias * _scale(role, shape)).astype(np.float32)
    return store(node.params[role] * _scale(role, shape), element)


def _scale(role: str, shape: AttentionShape) -> float:
    """1/sqrt(D) of the query's parameters."""
    return float((shape.embedding // shape.heads) ** -0.5) if role.startswith("q_") else 1.0
