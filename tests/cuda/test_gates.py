"""The kernels of pools, slices and split attention under the emulator, against `npresnet.ops`, with planted faults."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from npresnet import ops
from npresnet.cuda.elements import ELEMENTS, Element, restore, store
from npresnet.cuda.launch import Launch
from npresnet.cuda.launchers import (
    attention_pool2d,
    channel_conv1d,
    channel_reduce,
    copy_channels,
    global_max_pool,
    radix_softmax,
    radix_sum,
    spatial_attention_pool,
)
from tests.cuda import activations, faults
from tests.emulator import emulator, memory

pytestmark = [emulator.needed, pytest.mark.in_a_child]

# tf32 is stored as float32 is, and these kernels multiply nothing on tensor cores: the same program
every_storage = pytest.mark.parametrize(
    "element", [ELEMENTS[name] for name in ("float32", "float16", "bfloat16")], ids=lambda element: element.name
)
CHANNELS = (1, 3, 7, 16, 33, 64)
POSITIONS = (1, 15, 63)
IMAGES = 2


def whole(element: Element, *size: int, seed: int = 0) -> np.ndarray:
    """Small whole numbers as stored: every sum of a few of them is exact, in 16 bits as well."""
    return store(np.random.default_rng(seed).integers(-3, 4, size).astype(np.float32), element)


def run(
    launches: Callable[..., list[Launch]], out: tuple[int, ...], element: Element, *sizes: Any, **arrays: Any
) -> np.ndarray:
    """y of one call of `launches(*sizes, element, ...)`, float32; arrays become addresses, all between guards."""
    how = {name: arrays.pop(name) for name in ("edits", "planted", "copies", "schedule") if name in arrays}
    guarded = {name: memory.guarded(found) for name, found in arrays.items() if isinstance(found, np.ndarray)}
    y = memory.poisoned(out, element.storage)
    addresses = {name: found.ctypes.data for name, found in guarded.items()}
    emulator.run(launches(*sizes, element, **{**arrays, **addresses}, y=y.ctypes.data), **how)
    memory.check_guards(*guarded.values(), y)
    return restore(y, element)


def nchw(stored: np.ndarray, element: Element) -> np.ndarray:
    """(N, P, C) as stored -> (N, C, P, 1) float64."""
    return restore(stored, element).astype(np.float64).transpose(0, 2, 1)[..., None]


def rounded(exact: np.ndarray, element: Element) -> np.ndarray:
    return restore(store(exact.astype(np.float32), element), element)


def max_pool(element: Element, positions: int, channels: int, **how: Any) -> tuple[np.ndarray, np.ndarray]:
    x = whole(element, IMAGES, positions, channels)
    x[0, -1, 0] = store(np.array([np.nan], np.float32), element)[0]
    x[1] = store(-np.abs(restore(x[1], element)) - 1, element)  # a maximum below 0
    found = run(global_max_pool.launches, (IMAGES, channels), element, IMAGES, positions, channels, x=x, **how)
    return found, ops.global_max_pool(nchw(x, element))[:, :, 0, 0]


def reduction(element: Element, positions: int, channels: int, **how: Any) -> tuple[np.ndarray, np.ndarray]:
    """The mean, then the maximum, of the channels, all of them below 0."""
    x = store(restore(whole(element, IMAGES, positions, channels), element) - 4, element)
    sizes, out = (IMAGES * positions, channels), (IMAGES, positions)
    found = [run(channel_reduce.launches, out, element, *sizes, x=x, is_max=is_max, **how) for is_max in (False, True)]
    exact = [reduce(nchw(x, element))[:, 0, :, 0] for reduce in (ops.channel_mean, ops.channel_max)]
    return np.stack(found), np.stack(exact)


def taps(element: Element, circular: bool, channels: int, **how: Any) -> tuple[np.ndarray, np.ndarray]:
    x = whole(element, IMAGES, channels)
    weight, bias = np.array([2, -1, 1, 0, 3], np.float32), np.array([1], np.float32)
    arrays = {"x": x, "weight": weight, "bias": bias, "circular": circular, "activation": activations.of("relu")}
    found = run(channel_conv1d.launches, (IMAGES, channels), element, IMAGES, channels, 5, **arrays, **how)
    mode = "circular" if circular else "zeros"
    return found, ops.relu(ops.channel_conv1d(restore(x, element), weight.reshape(1, 1, -1), bias, padding_mode=mode))


def copy(element: Element, start: int, channels: int, **how: Any) -> tuple[np.ndarray, np.ndarray]:
    """Channels start.. of x behind 8 and before 8 others, which it must leave as they are."""
    x, count = whole(element, 30, channels), channels - start
    sizes = {"start": start, "to": 8, "count": count, "activation": activations.of("relu6")}
    found = run(copy_channels.launches, (30, count + 16), element, 30, channels, count + 16, x=x, **sizes, **how)
    return found[:, 8 : 8 + count], ops.activations.relu6(restore(x, element)[:, start:])


def group_sum(element: Element, radix: int, channels: int, **how: Any) -> tuple[np.ndarray, np.ndarray]:
    """Without weights, then with them."""
    positions = 15
    x, w = whole(element, IMAGES, positions, radix * channels), whole(element, IMAGES, radix * channels, seed=1)
    sizes, out = (IMAGES, positions, channels, radix), (IMAGES, positions, channels)
    found = [run(radix_sum.launches, out, element, *sizes, x=x, **more, **how) for more in ({}, {"weights": w})]
    maps = nchw(x, element)
    exact = ops.radix_sum(maps, radix=radix), ops.radix_weighted_sum(maps, restore(w, element), radix=radix)
    return np.stack(found), np.stack([one[..., 0].transpose(0, 2, 1) for one in exact])


EXACT: Mapping[str, tuple[Callable[..., Any], tuple[Any, ...], tuple[int, ...]]] = {
    "global_max_pool": (max_pool, POSITIONS, CHANNELS),
    "channel_reduce": (reduction, POSITIONS, CHANNELS),
    "channel_conv1d": (taps, (False, True), (2, 3, 16, 300)),
    "copy_channels": (copy, (0, 8), (9, 15, 16, 64)),
    "radix_sum": (group_sum, (1, 2, 3), CHANNELS),
}


@every_storage
@pytest.mark.parametrize("kernel", EXACT)
def test_whole_numbers_bit_for_bit(kernel: str, element: Element) -> None:
    compute, firsts, channels = EXACT[kernel]
    for first in firsts:
        for count in channels:
            found, exact = compute(element, first, count)
            np.testing.assert_array_equal(found, rounded(exact, element), err_msg=f"{first} {count}")


def softmax(element: Element, radix: int, cardinality: int, **how: Any) -> tuple[np.ndarray, np.ndarray]:
    x = store(3 * np.random.default_rng(2).standard_normal((IMAGES, cardinality * radix * 21)), element)
    found = run(radix_softmax.launches, x.shape, element, IMAGES, radix, cardinality, 21, x=x, **how)
    return found, ops.radix_softmax(restore(x, element).astype(np.float64), radix=radix, cardinality=cardinality)


def context(element: Element, positions: int, channels: int, **how: Any) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    x = store(rng.standard_normal((IMAGES, positions, channels)), element)
    logits = store(4 * rng.standard_normal((IMAGES, positions, 1)), element)
    sizes = (IMAGES, positions, channels)
    found = run(spatial_attention_pool.launches, (IMAGES, channels), element, *sizes, x=x, logits=logits, **how)
    return found, ops.spatial_attention_pool(nchw(x, element), nchw(logits, element))[:, :, 0, 0]


def attention(element: Element, positions: int, channels: int, **how: Any) -> tuple[np.ndarray, np.ndarray]:
    """With a projection where there are few channels, without one where there are more."""
    heads, embedding, outputs = 3, 24, 5
    rng = np.random.default_rng(4)
    x = store(rng.standard_normal((IMAGES, positions, channels)), element)
    own = {"pos_embed": rng.standard_normal((positions + 1, channels)).astype(np.float32)}
    has_projection = channels < 20
    for role in ("q", "k", "v", "proj") if has_projection else ("q", "k", "v"):
        rows, columns = (outputs, embedding) if role == "proj" else (embedding, channels)
        own[f"{role}_weight"] = restore(store(rng.standard_normal((rows, columns)) / 2, element), element)
        own[f"{role}_bias"] = rng.standard_normal(rows).astype(np.float32)
    scale = np.float32((embedding // heads) ** -0.5)
    packed = {role: memory.guarded(_packed(array, role, scale, element)) for role, array in own.items()}
    sizes = (IMAGES, positions, channels, heads, embedding)
    shape = attention_pool2d.AttentionShape(*sizes, outputs if has_projection else embedding, has_projection)
    workspace = np.full(sum(shape.workspace().values()), np.nan, np.float32)
    weights = {role: array.ctypes.data for role, array in packed.items()}
    out = (IMAGES, shape.outputs)
    found = run(attention_pool2d.launches, out, element, shape, x=x, weights=weights, workspace=workspace, **how)
    memory.check_guards(*packed.values())
    wide = {role: array.astype(np.float64) for role, array in own.items()}
    for role in ("q_weight", "q_bias"):  # as they are after the scale is in them
        wide[role] = restore(packed[role], element).astype(np.float64) if role == "q_weight" else own[role] * scale
        wide[role] = wide[role] / float((embedding // heads) ** -0.5)
    return found, ops.attention_pool2d(nchw(x, element), wide, num_heads=heads)


def _packed(array: np.ndarray, role: str, scale: np.float32, element: Element) -> np.ndarray:
    scaled = array * scale if role.startswith("q_") else array
    return store(scaled, element) if role.endswith("weight") else scaled


CLOSE: Mapping[str, tuple[Callable[..., Any], tuple[Any, ...], tuple[int, ...]]] = {
    "radix_softmax": (softmax, (1, 2, 4), (1, 3)),
    "spatial_attention_pool": (context, POSITIONS, CHANNELS),
    "attention_pool2d": (attention, (1, 12), (3, 16, 40)),
}
STEP = {"float32": 2.0**-23, "float16": 2.0**-11, "bfloat16": 2.0**-8}


@every_storage
@pytest.mark.parametrize("kernel", CLOSE)
def test_as_near_as_float32_to_float64(kernel: str, element: Element) -> None:
    compute, firsts, others = CLOSE[kernel]
    for first in firsts:
        for other in others:
            assert_close(*compute(element, first, other), element)


def assert_close(found: np.ndarray, exact: np.ndarray, element: Element) -> None:
    """A few roundings of float32 of the largest number, and one to what is stored."""
    allowed = 40 * 2.0**-23 * max(1, np.abs(exact).max()) + STEP[element.name] * np.abs(exact)
    assert (np.abs(found - exact) <= allowed).all()


@pytest.mark.parametrize("compute", [context, attention, reduction, max_pool], ids=lambda one: one.__name__)
def test_the_same_bits_whatever_the_schedule(compute: Callable[..., Any]) -> None:
    right, _ = compute(ELEMENTS["float32"], 15, 16)
    for how in emulator.EVERY_WAY:
        np.testing.assert_array_equal(compute(ELEMENTS["float32"], 15, 16, **how)[0], right)


# kernel -> what is planted; how the kernel is run, so that each shows
FAULTS: Mapping[str, tuple[Callable[..., Any], tuple[Any, ...], Mapping[str, tuple[str, str]]]] = {
    "global_max_pool": (
        max_pool,
        (15, 3),
        {
            "0 instead of -infinity": ("__uint_as_float(0xFF800000u)", "__uint_as_float(PLANTED ? 0 : 0xFF800000u)"),
            "the first image's numbers": ("(size_t)blockIdx.y * positions", "(PLANTED ? 0 : blockIdx.y) * positions"),
        },
    ),
    "channel_reduce": (
        reduction,
        (15, 33),
        {
            "0 instead of -infinity": (
                "is_max ? __uint_as_float(0xFF800000u)",
                "is_max && !PLANTED ? __uint_as_float(0xFF800000u)",
            ),
            "half of the lanes": ("int lanes = 16; lanes > 0", "int lanes = 16; lanes > (PLANTED ? 1 : 0)"),
            "a lane too far": ("c += 32 * width", "c += (PLANTED ? 33 : 32) * width"),
        },
    ),
    "channel_conv1d": (
        taps,
        (True, 16),
        {
            "zeros where circular": ("if (circular)", "if (circular && !PLANTED)"),
            "one channel beside": ("c + j - K / 2", "c + j - K / 2 + (PLANTED ? 1 : 0)"),
            "bias forgotten": ("sum + *bias", "sum + (PLANTED ? 0 : *bias)"),
        },
    ),
    "copy_channels": (
        copy,
        (8, 64),
        {
            "from the start": ("channels.start + c", "(PLANTED ? 0 : channels.start) + c"),
            "the other tensor's pitch": ("p * channels.C", "p * (PLANTED ? channels.O : channels.C)"),
        },
    ),
    "radix_sum": (
        group_sum,
        (2, 16),
        {
            "weights of the first group": ("(n * R + r) * C", "(n * R + (PLANTED ? 0 : r)) * C"),
            "a group forgotten": ("r < R", "r < R - (PLANTED ? 1 : 0)"),
        },
    ),
}


@pytest.mark.parametrize(
    ("kernel", "fault"), [(kernel, fault) for kernel, found in FAULTS.items() for fault in found[2]]
)
def test_a_planted_fault_is_caught(kernel: str, fault: str) -> None:
    with faults.caught():
        check_exact(kernel, faults.number(FAULTS[kernel][2], fault))


@pytest.mark.parametrize("kernel", FAULTS)
def test_without_a_fault_nothing_is_caught(kernel: str) -> None:
    check_exact(kernel, 0)


def check_exact(kernel: str, planted: int) -> None:
    compute, sizes, planted_faults = FAULTS[kernel]
    found, exact = compute(ELEMENTS["float32"], *sizes, edits=faults.edits_of(planted_faults), planted=planted)
    np.testing.assert_array_equal(found, exact.astype(np.float32))


CLOSE_FAULTS: Mapping[str, tuple[Callable[..., Any], tuple[Any, ...], Mapping[str, tuple[str, str]]]] = {
    "radix_softmax": (
        softmax,
        (2, 3),
        {
            "radix behind cardinality": ("to[(size_t)r * G * D]", "to[(size_t)r * (PLANTED ? D : G * D)]"),
            "not divided by the sum": ("- largest) / sum)", "- largest) / (PLANTED ? 1.f : sum))"),
        },
    ),
    "spatial_attention_pool": (
        context,
        (63, 16),
        {
            "logits of the first image": (
                "logits += (size_t)blockIdx.y",
                "logits += (PLANTED ? 0 : (size_t)blockIdx.y)",
            ),
            "a missing barrier": (
                "__syncthreads();  // the rows below have written what is added here",
                "if (!PLANTED) __syncthreads();",
            ),
        },
    ),
    "attention_pool2d": (
        attention,
        (12, 16),
        {
            "the mean without its position": (
                "(float)positions + position[c]",
                "(float)positions + (PLANTED ? 0 : position[c])",
            ),
            "keys of the first head": ("(size_t)head * D * C", "(size_t)(PLANTED ? 0 : head) * D * C"),
            "the heads' sums in the wrong place": (
                "o / rows.rows_of_head",
                "o / (PLANTED ? rows.O : rows.rows_of_head)",
            ),
            "a missing barrier": ("__syncthreads();  // all have written", "if (!PLANTED) __syncthreads();"),
        },
    ),
}


@pytest.mark.parametrize(
    ("kernel", "fault"), [(kernel, fault) for kernel, found in CLOSE_FAULTS.items() for fault in (*found[2], None)]
)
def test_a_planted_fault_is_no_longer_close(kernel: str, fault: str | None) -> None:
    """In some order of the threads; without a fault in none."""
    compute, sizes, planted_faults = CLOSE_FAULTS[kernel]
    planted = 0 if fault is None else faults.number(planted_faults, fault)
    element, wrong = ELEMENTS["float32"], 0
    for how in emulator.EVERY_WAY:
        found, exact = compute(element, *sizes, edits=faults.edits_of(planted_faults), planted=planted, **how)
        wrong += not (np.abs(found - exact) <= 1e-4).all()
    assert (wrong > 0) == (fault is not None)
