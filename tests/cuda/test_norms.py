"""Normalisations by the image, PReLU and pad2d under the emulator, against npresnet.ops; planted faults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from npresnet.cuda.elements import ELEMENTS, Element, restore, store
from npresnet.cuda.launch import Launch
from npresnet.cuda.launchers import evo_norm_s0, filter_response_norm, group_norm, layer_norm2d, pad2d, prelu
from npresnet.network import INPUT, Node
from npresnet.ops.run import compute
from tests.cuda import activations, faults
from tests.emulator import emulator, memory

pytestmark = [emulator.needed, pytest.mark.in_a_child]

# tf32 is stored as float32 is, and these kernels multiply nothing on tensor cores: the same program
every_storage = pytest.mark.parametrize(
    "element", [ELEMENTS[name] for name in ("float32", "float16", "bfloat16")], ids=lambda element: element.name
)
STEP = {"float16": 2.0**-11, "bfloat16": 2.0**-8}
EPS = 1e-2
MAPS = [(16, 1, 5, 7), (64, 4, 2, 3), (21, 3, 3, 1)]  # C, G, H, W


def vectors(channels: int, *roles: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(channels)
    return {role: rng.normal(1, 0.5, channels).astype(np.float32) for role in roles}


def launched(node: Node, x: np.ndarray, element: Element, **how: Any) -> np.ndarray:
    """y (N, C, H, W) of the node for x (N, H, W, C) as stored, also the residual of a node that has one."""
    x = memory.guarded(x)
    params = {role: memory.guarded(np.asarray(array, np.float32)) for role, array in node.params.items()}
    size = x.shape
    if node.op == "pad2d":
        left, right, top, bottom = node.attrs["padding"]
        size = (size[0], top + size[1] + bottom, left + size[2] + right, size[3])
    y = memory.poisoned(size, element.storage)
    addresses = {"x": x.ctypes.data, "y": y.ctypes.data, **{role: a.ctypes.data for role, a in params.items()}}
    if len(node.inputs) > 1:
        addresses["residual"] = x.ctypes.data
    emulator.run(_launches(node, x.shape, element, addresses), **how)
    memory.check_guards(x, y, *params.values())
    return restore(y, element).transpose(0, 3, 1, 2)


def _launches(node: Node, size: tuple[int, ...], element: Element, addresses: Mapping[str, int]) -> list[Launch]:
    images, height, width, channels = size
    positions, attrs = height * width, node.attrs
    activation = activations.of(node.activation)
    if node.op == "group_norm":
        return group_norm.launches(
            images, positions, channels, attrs["groups"], element, eps=EPS, **addresses, activation=activation
        )
    if node.op == "evo_norm_s0":
        return evo_norm_s0.launches(images, positions, channels, attrs["groups"], element, eps=EPS, **addresses)
    if node.op == "filter_response_norm":
        return filter_response_norm.launches(
            images, positions, channels, element, eps=EPS, **{"tau": 0, **addresses}, activation=activation
        )
    if node.op == "layer_norm2d":
        return layer_norm2d.launches(images * positions, channels, element, eps=EPS, **addresses, activation=activation)
    if node.op == "prelu":
        where = {"x": addresses["x"], "y": addresses["y"], "slopes": addresses["weight"]}
        return prelu.launches(images * positions, channels, element, **where, activation=activation)
    reflect = attrs["mode"] == "reflect"
    return pad2d.launches(
        images, height, width, channels, element, padding=attrs["padding"], reflect=reflect, **addresses
    )


def node_of(op: str, channels: int, groups: int, activation: str | None = None) -> Node:
    roles = {"filter_response_norm": ("weight", "bias", "tau"), "evo_norm_s0": ("weight", "bias", "v")}
    params = vectors(channels, *roles.get(op, ("weight", "bias")))
    return Node("y", op, (INPUT,), attrs={"groups": groups, "eps": EPS}, params=params, activation=activation)


def images(element: Element, *size: int, mean: float = 0.5) -> np.ndarray:
    return store(np.random.default_rng(sum(size)).normal(mean, 1, size), element)


def check(node: Node, x: np.ndarray, element: Element, **how: Any) -> None:
    """Within a few roundings of float64 of the specification; a sum of n numbers rounds about sqrt(n) times."""
    wide = restore(x, element).astype(np.float64).transpose(0, 3, 1, 2)
    right = compute(node, [wide] * len(node.inputs))
    got = launched(node, x, element, **how)
    size = np.abs(right) + 4 * (1 + np.abs(wide).max())
    allowed = size * 8 * 2.0**-23 + np.abs(right) * STEP.get(element.name, 0.0) + 2.0**-25
    assert (np.abs(got - right) <= allowed).all(), f"{np.abs(got - right).max():.2e}"


@pytest.mark.parametrize("element", [ELEMENTS["float32"], ELEMENTS["float16"]], ids=lambda element: element.name)
@pytest.mark.parametrize("op", ["group_norm", "evo_norm_s0", "layer_norm2d", "filter_response_norm"])
def test_against_the_specification(element: Element, op: str) -> None:
    for channels, groups, height, width in MAPS:
        check(node_of(op, channels, groups), images(element, 2, height, width, channels), element)
    if op != "evo_norm_s0":
        check(node_of(op, 16, 2, "mish"), images(element, 1, 3, 5, 16), element)


@every_storage
@pytest.mark.parametrize("activation", [None, "relu"])
def test_a_residual_is_added_before_the_activation(element: Element, activation: str | None) -> None:
    for channels, groups, height, width in MAPS:
        node = node_of("group_norm", channels, groups, activation).evolve(inputs=(INPUT, INPUT))
        check(node, images(element, 2, height, width, channels), element)


def test_a_group_of_more_vectors_than_a_thread_adds_up_at_once() -> None:
    element = ELEMENTS["float32"]
    check(node_of("group_norm", 1, 1), images(element, 1, 91, 91, 1), element)


@pytest.mark.parametrize("op", ["group_norm", "layer_norm2d"])
def test_a_large_mean_does_not_cost_the_variance_its_digits(op: str) -> None:
    x = images(ELEMENTS["float32"], 1, 12, 12, 16, mean=1000)
    check(node_of(op, 16, 2), x, ELEMENTS["float32"])


def test_no_tau_clamps_nothing() -> None:
    node = node_of("filter_response_norm", 24, 1)
    node = node.evolve(params={role: node.params[role] for role in ("weight", "bias")})
    check(node, images(ELEMENTS["float32"], 2, 4, 3, 24), ELEMENTS["float32"])


@pytest.mark.parametrize("element", [ELEMENTS["float32"], ELEMENTS["float16"]], ids=lambda element: element.name)
def test_whole_numbers_are_exact(element: Element) -> None:
    """Mean 0 and variance 4, eps far below: the result is +-weight + bias; NaN and infinity stay in their image."""
    x = np.resize(np.array([2, -2], np.float32), (3, 4, 6, 16)) * np.resize([1, 1, -1, -1], 16)
    x[1, 0, 0, 0] = np.nan
    weight, bias = np.resize(np.arange(1, 5, dtype=np.float32), 16), np.resize(np.arange(-2, 3, dtype=np.float32), 16)
    for op in ("group_norm", "layer_norm2d"):
        x = x if op == "group_norm" else np.where(np.isnan(x), np.nan, np.resize([2.0, -2.0], 16) + 0 * x)
        node = Node("y", op, (INPUT,), attrs={"groups": 4}, params={"weight": weight, "bias": bias})
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(f"{__name__}.EPS", 0.0)
            got = launched(node, store(x.astype(np.float32), element), element)
        expected = (x / 2 * weight + bias).transpose(0, 3, 1, 2)
        for image in (0, 2):
            np.testing.assert_array_equal(got[image], expected[image])
        assert np.isnan(got[1]).any()


@every_storage
@pytest.mark.parametrize("channels", [1, 7, 16, 24])
def test_prelu(element: Element, channels: int) -> None:
    """Whole numbers and slopes of few bits: exact."""
    rng = np.random.default_rng(channels)
    x = store(rng.integers(-8, 9, (2, 5, 3, channels)), element)
    x.flat[0] = store(np.array([np.nan]), element)[0]
    node = Node("y", "prelu", (INPUT,), params={"weight": rng.integers(-4, 5, channels).astype(np.float32) / 4})
    right = compute(node, [restore(x, element).transpose(0, 3, 1, 2)])
    np.testing.assert_array_equal(launched(node, x, element), right)
    np.testing.assert_array_equal(launched(node.evolve(activation="relu"), x, element), np.maximum(right, 0))


@every_storage
@pytest.mark.parametrize("mode", ["zeros", "reflect"])
def test_pad2d(element: Element, mode: str) -> None:
    for channels, padding in ((16, (1, 1, 1, 1)), (3, (2, 0, 1, 3)), (8, (0, 3, 4, 0))):
        x = images(element, 2, 5, 4, channels)
        node = Node("y", "pad2d", (INPUT,), attrs={"padding": padding, "mode": mode})
        right = compute(node, [restore(x, element).transpose(0, 3, 1, 2)])
        np.testing.assert_array_equal(launched(node, x, element), right)


FAULTS: dict[str, dict[str, tuple[str, str]]] = {
    "group_norm": {
        "the tree without barriers": (
            "__syncthreads();  // the upper half has written what is added here",
            "if (!PLANTED) __syncthreads();",
        ),
        "the next sum too early": (
            "__syncthreads();  // all have read it before the next sum overwrites it",
            "if (!PLANTED) __syncthreads();",
        ),
        "another group's parameters": ("int c = first + group", "int c = (PLANTED ? 0 : first) + group"),
        "the first vector's residual": ("(residual + at)", "(residual + (PLANTED ? 0 : at))"),
        "eps forgotten": ("sqrtf(variance + eps)", "sqrtf(variance + (PLANTED ? 0.f : eps))"),
        "the variance about 0": ("SquaredDistance{mean}", "SquaredDistance{PLANTED ? 0.f : mean}"),
        "the first image's numbers": ("(size_t)blockIdx.y * group", "(size_t)(PLANTED ? 0 : blockIdx.y) * group"),
    },
    "evo_norm_s0": {
        "no slope": ("-v[c + k] * value", "(PLANTED ? -1.f : -v[c + k]) * value"),
    },
    "filter_response_norm": {
        "no tau": ("if (tau) value", "if (!PLANTED && tau) value"),
        "a sum not divided": ("/ (float)positions + eps", "/ (PLANTED ? 1.f : (float)positions) + eps"),
    },
    "layer_norm2d": {
        "a lane short": (
            "variance += distance * distance",
            "variance += PLANTED && threadIdx.x ? 0 : distance * distance",
        ),
    },
}


@pytest.mark.parametrize(("op", "fault"), [(op, fault) for op, known in FAULTS.items() for fault in (None, *known)])
def test_a_planted_fault_is_caught(op: str, fault: str | None) -> None:
    element = ELEMENTS["float32"]
    how = {"edits": faults.edits_of(FAULTS[op]), "planted": 0 if fault is None else faults.number(FAULTS[op], fault)}
    node, x = node_of(op, 16, 2), images(element, 2, 3, 5, 16, mean=0.2) * np.float32(0.3)
    if op == "group_norm":
        node = node.evolve(inputs=(INPUT, INPUT))
    if fault is None:
        check(node, x, element, **how)
        return
    with faults.caught():
        check(node, x, element, **how)


PAD_FAULTS = {
    "the edge repeated": ("i < 0 ? -i :", "i < 0 ? -i - PLANTED :"),
    "mirrored beyond the end": ("2 * size - 2 - i", "2 * size - 2 - i + (PLANTED ? 1 : 0)"),
}


@pytest.mark.parametrize("fault", [None, *PAD_FAULTS])
def test_a_fault_in_pad2d_is_caught(fault: str | None) -> None:
    planted = 0 if fault is None else faults.number(PAD_FAULTS, fault)
    x = images(ELEMENTS["float32"], 1, 5, 4, 4)
    node = Node("y", "pad2d", (INPUT,), attrs={"padding": (1, 2, 2, 1), "mode": "reflect"})
    right = compute(node, [x.transpose(0, 3, 1, 2)])
    got = launched(node, x, ELEMENTS["float32"], edits=faults.edits_of(PAD_FAULTS), planted=planted)
    assert np.array_equal(got, right) is (fault is None)
