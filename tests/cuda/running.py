"""Networks through the whole GPU backend on an emulated machine."""

from __future__ import annotations

from functools import cache

import numpy as np

from npresnet import cuda, ops, passes
from npresnet.network import INPUT, Network, Node
from npresnet.window import Window
from tests.support.cases import integers

# of the logits against float64: relative L2 error, as reference figures of each precision allow it
GATES = {"float32": 1e-5, "tf32": 3e-3, "float16": 5e-3, "bfloat16": 3e-2}


def compiled(network: Network, dtype: str = "float32", device: str = "cuda:0") -> cuda.Executable:
    """An executable of its own."""
    return cuda.compile(network, cuda.open_gpu(device), cuda.ELEMENTS[dtype])


def execute_on_gpu(network: Network, x: np.ndarray) -> dict[str, np.ndarray]:
    """Compiled for this one call, in float32."""
    return compiled(network)(x)


def assert_within_gate(found: np.ndarray, exact: np.ndarray, dtype: str) -> None:
    """Logits (N, classes): as near to float64 as the precision promises, and the same best classes."""
    error = np.linalg.norm(found - exact) / np.linalg.norm(exact)
    assert error <= GATES[dtype], f"relative L2 error {error:.2e} in {dtype}"
    np.testing.assert_array_equal(found.argmax(axis=1), exact.argmax(axis=1))


@cache
def small_network() -> Network:
    """A stem, a residual block, pooling and a classifier, of whole numbers: results are exact, to the bit."""
    rng = np.random.default_rng(0)

    def weight(*shape: int) -> dict[str, np.ndarray]:
        return {"weight": integers(rng, shape, most=1)}

    nodes = (
        Node("conv1", "conv2d", (INPUT,), Window.of(3, 2, 1), params=weight(8, 3, 3, 3), activation="relu"),
        Node("conv2", "conv2d", ("conv1",), Window.of(3, 1, 1), params=weight(8, 8, 3, 3)),
        Node("sum", "add", ("conv2", "conv1"), activation="relu"),
        Node("pool", "max_pool2d", ("sum",), Window.of(2, 2)),
        Node("flat", "flatten", ("pool",)),
        Node("fc", "linear", ("flat",), params=weight(5, 8 * 2 * 2)),
    )
    return passes.optimize(Network(nodes, {"logits": "fc"}))


def images(count: int, seed: int = 0) -> np.ndarray:
    return integers(np.random.default_rng(seed), (count, 3, 8, 8))


def expected(x: np.ndarray) -> np.ndarray:
    return ops.run(small_network(), np.asarray(x, np.float64))["logits"].astype(np.float32)
