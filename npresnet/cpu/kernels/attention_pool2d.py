"""Attention pool of CLIP's ResNets, reordered: the keys and values of the tokens are never computed.

A query attends to T tokens t. With one query the sums can be rearranged, head by head:

    q . k[t] = q . (Wk t + bk) = (Wk^T q) . t + q . bk       the last term is the same for all t: softmax ignores it
    sum over t of a[t] v[t] = Wv (sum over t of a[t] t) + bv     as the a[t] sum to 1

so instead of two products of all tokens with E x C weights (420 million multiply-adds for CLIP's RN50 at 224x224) each
weight is read once, for one vector, and 16 million remain.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import numpy as np

from npresnet.cpu.kernels import calls as kernels
from npresnet.cpu.kernels.activations import activate
from npresnet.cpu.kernels.lowering import Bound, Lowering
from npresnet.cpu.runtime.memory import Floats, Memory
from npresnet.cpu.runtime.running import worker_of
from npresnet.network import Node
from npresnet.plan.steps import Call, Tile


class Attention(NamedTuple):
    """The parameters; q_bias, v_bias, proj_weight and proj_bias may be None.

    pos_embed (T, C); q_weight (E, C) and q_bias (E,) over sqrt(D); k_weight, v_weight (heads, D, C); proj_weight (O, E)
    """

    pos_embed: Floats
    q_weight: Floats
    q_bias: Floats | None
    k_weight: Floats
    v_weight: Floats
    v_bias: Floats | None
    proj_weight: Floats | None
    proj_bias: Floats | None


class AttentionPool2dLowering(Lowering):
    """Image by image."""

    def prepare(self, node: Node) -> Attention:
        heads = node.attrs["num_heads"]
        params = {role: np.ascontiguousarray(array, np.float32) for role, array in node.params.items()}
        embedding, channels = params["q_weight"].shape
        k, v = (params[f"{role}_weight"].reshape(heads, -1, channels) for role in "kv")
        scale = np.float64(embedding // heads) ** -0.5
        q_weight = (params["q_weight"] * scale).astype(np.float32)
        q_bias = (params["q_bias"] * scale).astype(np.float32) if "q_bias" in params else None
        last = (params.get("v_bias"), params.get("proj_weight"), params.get("proj_bias"))
        return Attention(params["pos_embed"], q_weight, q_bias, k, v, *last)

    def scratch(self, bound: Bound) -> dict[str, int]:
        return {purpose: prod(shape) for purpose, shape in _shapes(bound.weights).items()}

    def lower(self, bound: Bound, memory: Memory) -> list[Tile]:
        images, outs = (memory.images(name) for name in (bound.node.inputs[0], bound.node.name))  # (N, H, W, C), (N, O)
        count = len(images)
        return [
            self._tile(bound, memory, worker_of(i, count, bound.workers), image, out)
            for i, (image, out) in enumerate(zip(images, outs, strict=True))
        ]

    def _tile(self, bound: Bound, memory: Memory, worker: int, image: Floats, out: Floats) -> Tile:
        own: Attention = bound.weights
        shapes = _shapes(own)
        tokens, q, keys, attention, context, pooled = (
            memory.scratch(worker, purpose, shape) for purpose, shape in shapes.items()
        )
        heads, depth, _ = own.k_weight.shape
        height, width, channels = image.shape
        column = pooled.reshape(-1, 1)  # (E, 1)
        target = out if own.proj_weight is None else column[:, 0]
        calls: list[Call] = [
            (kernels.sum_pixels, (image, tokens[0])),
            (kernels.divide, (tokens[0], np.float32(height * width), tokens[0])),
            (kernels.copy, (image, tokens[1:].reshape(height, width, channels))),
            (kernels.add, (tokens, own.pos_embed, tokens)),
            *_linear(own.q_weight, tokens[0], own.q_bias, q.reshape(-1)),
            (kernels.matmul, (q.reshape(heads, 1, depth), own.k_weight, keys)),  # (heads, 1, D) @ (heads, D, C)
            (kernels.matmul, (keys[:, 0], tokens.T, attention)),  # (heads, C) @ (C, T)
            (kernels.softmax_rows, (attention, attention)),
            (kernels.matmul, (attention, tokens, context)),  # (heads, T) @ (T, C)
            (kernels.matmul, (own.v_weight, context[..., None], target.reshape(heads, depth, 1))),  # (heads, D, 1)
        ]
        if own.v_bias is not None:
            calls.append((kernels.add, (target, own.v_bias, target)))
        if own.proj_weight is not None:
            calls += _linear(own.proj_weight, target, own.proj_bias, out)
        return (*calls, *activate(bound.node, memory, out, out))


def _shapes(own: Attention) -> dict[str, tuple[int, ...]]:
    """Purpose of scratch -> its shape."""
    (tokens, channels), (heads, depth, _) = own.pos_embed.shape, own.k_weight.shape
    return {
        "tokens": (tokens, channels),
        "q": (heads, depth),
        "keys": (heads, 1, channels),
        "attention": (heads, tokens),
        "context": (heads, channels),
        "pooled": (heads, depth),
    }


def _linear(weight: Floats, x: Floats, bias: Floats | None, out: Floats) -> list[Call]:
    """out (O,) = weight (O, C) @ x (C,) + bias."""
    calls: list[Call] = [(kernels.matmul, (weight, x[:, None], out[:, None]))]
    return calls if bias is None else [*calls, (kernels.add, (out, bias, out))]
