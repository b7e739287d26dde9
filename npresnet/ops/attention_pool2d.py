"""Attention pool of CLIP's ResNets: one query, the mean of the map, attends to the mean and to every position."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np

from npresnet.errors import ShapeError
from npresnet.network import Array, Node
from npresnet.ops.linear import linear
from npresnet.ops.record import Operation, Shape, image_shape, sees_all
from npresnet.ops.softmax import softmax
from npresnet.ops.windows import check_image

ROLES = ("q", "k", "v", "proj")


def attention_pool2d(x: Array, params: Mapping[str, Array], *, num_heads: int) -> Array:
    """One vector per image: multi-head attention of the mean position over T = 1 + H*W tokens.

    t[0], t[1 + i*W + j] = mean over all positions of x, x[:, i, j]; to each its row of pos_embed is added
    q, k, v              = Wq t[0] + bq, Wk t[.] + bk, Wv t[.] + bv       cut into num_heads heads of D = E/num_heads
    a[h, .]              = softmax over T of (q[h] . k[h, .]) / sqrt(D)
    out                  = Wproj (sum over T of a[h, t] v[h, t], heads side by side) + bproj

    x                             (N, C, H, W)       any float dtype, also that of the result
    pos_embed                     (1 + H*W, C)
    q_weight, k_weight, v_weight  (E, C) each        q_bias, k_bias, v_bias (E,) optional
    proj_weight                   (O, E)             optional, with proj_bias (O,) optional; without it the result has E
    returns                       (N, O)

    Only the result of the first token is computed, as it is the only one that the network uses. Cost: E*C + 2*T*E*C +
    O*E multiply-adds an image with weights (the products of k with q, and of a with v, are not counted). Raises
    ShapeError for other shapes. Source: Radford et al. 2021, "Learning Transferable Visual Models From Natural Language
    Supervision", section 2.4; openai/CLIP, clip/model.py, AttentionPool2d; timm, layers/attention_pool2d.py.
    """
    x = np.asarray(x)
    check_image(x)
    check_attention(x.shape[1:], params, num_heads)
    images, channels = x.shape[:2]
    pixels = x.reshape(images, channels, -1).swapaxes(1, 2)  # (N, H*W, C)
    tokens = np.concatenate([pixels.mean(axis=1, keepdims=True), pixels], axis=1)  # (N, T, C)
    tokens = tokens + np.asarray(params["pos_embed"], x.dtype)

    def heads_of(role: str, rows: Array) -> Array:
        """(N, n, C) -> (N, num_heads, n, D)"""
        flat = linear(rows.reshape(-1, channels), params[f"{role}_weight"], params.get(f"{role}_bias"))
        return flat.reshape(images, rows.shape[1], num_heads, -1).swapaxes(1, 2)

    q, k, v = heads_of("q", tokens[:, :1]), heads_of("k", tokens), heads_of("v", tokens)
    attention = softmax(q @ k.swapaxes(2, 3) / x.dtype.type(np.sqrt(q.shape[3])))  # (N, num_heads, 1, T)
    pooled = (attention @ v).reshape(images, -1)  # (N, num_heads, 1, D) -> (N, E)
    return pooled if "proj_weight" not in params else linear(pooled, params["proj_weight"], params.get("proj_bias"))


def check_attention(shape: Shape, params: Mapping[str, Array], num_heads: int) -> None:
    """Raise ShapeError unless the parameters fit to an image of `shape` (C, H, W), and to each other."""
    channels, height, width = image_shape(shape)
    positions = params["pos_embed"].shape
    if positions != (1 + height * width, channels):
        raise ShapeError(
            f"expects a map of {positions[0] - 1} positions and {positions[-1]} channels, got {shape} (C, H, W)\n"
            f"  pos_embed  {positions}   1 + H*W, C\n"
            f"  Its position embedding was trained for one size of the image: give images of that size."
        )
    embedding = params["q_weight"].shape[0]
    if num_heads < 1 or embedding % num_heads:
        raise ShapeError(f"cannot divide {embedding} numbers into {num_heads} heads of equal size")
    for role in ROLES:
        weight, bias = params.get(f"{role}_weight"), params.get(f"{role}_bias")
        if weight is None:
            if role != "proj":
                raise ShapeError(f"needs the parameter {role}_weight")
            continue
        expected = (weight.shape[0], embedding) if role == "proj" else (embedding, channels)
        if weight.shape != expected or (bias is not None and bias.shape != expected[:1]):
            found = f"{weight.shape}" + ("" if bias is None else f" and a bias of shape {bias.shape}")
            raise ShapeError(f"expects {role}_weight of shape {expected}, got {found}")


def _infer_shape(node: Node, inputs: list[Shape]) -> Shape:
    check_attention(inputs[0], node.params, node.attrs["num_heads"])
    return (len(node.params.get("proj_weight", node.params["q_weight"])),)


def _count_macs(node: Node, inputs: list[Shape], out: Shape) -> int:
    """Those of q for one token, of k and v for all, and of the projection."""
    tokens, params = 1 + prod(inputs[0][1:]), node.params
    projection = prod(params["proj_weight"].shape) if "proj_weight" in params else 0
    return (1 + 2 * tokens) * prod(params["q_weight"].shape) + projection


ATTENTION_POOL2D = Operation(
    name="attention_pool2d",
    label="attention pool",
    title="AttentionPool2d",
    compute=lambda node, x: attention_pool2d(x, node.params, num_heads=node.attrs["num_heads"]),
    infer_shape=_infer_shape,
    count_macs=_count_macs,
    sees=sees_all,
    fuses=True,
)
