"""Networks through the whole GPU backend on an emulated machine."""

from __future__ import annotations

import numpy as np

from npresnet import cuda
from npresnet.network import Network

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
