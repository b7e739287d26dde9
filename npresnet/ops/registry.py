"""The registry: all operations and activations by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from npresnet.errors import ArchitectureError
from npresnet.network import Node
from npresnet.ops import activations
from npresnet.ops.add import ADD
from npresnet.ops.avg_pool2d import AVG_POOL2D
from npresnet.ops.avg_pool3d import AVG_POOL3D
from npresnet.ops.batch_norm import BATCH_NORM
from npresnet.ops.conv2d import CONV2D
from npresnet.ops.conv2d_max_pool2d import CONV2D_MAX_POOL2D
from npresnet.ops.conv3d import CONV3D
from npresnet.ops.flatten import FLATTEN
from npresnet.ops.global_avg_pool import GLOBAL_AVG_POOL
from npresnet.ops.linear import LINEAR
from npresnet.ops.max_pool2d import MAX_POOL2D
from npresnet.ops.max_pool3d import MAX_POOL3D
from npresnet.ops.multiply import MULTIPLY
from npresnet.ops.record import Activation, Operation
from npresnet.ops.shortcut_a import SHORTCUT_A

ACTIVATIONS: Mapping[str, Activation] = MappingProxyType(
    {
        activation.name: activation
        for activation in (
            activations.RELU,
            activations.RELU6,
            activations.LEAKY_RELU,
            activations.HARD_SIGMOID,
            activations.HARD_SWISH,
            activations.SIGMOID,
            activations.SILU,
            activations.GELU,
        )
    }
)

OPERATIONS: Mapping[str, Operation] = MappingProxyType(
    {
        operation.name: operation
        for operation in (
            CONV2D,
            CONV2D_MAX_POOL2D,
            BATCH_NORM,
            MAX_POOL2D,
            AVG_POOL2D,
            GLOBAL_AVG_POOL,
            FLATTEN,
            LINEAR,
            ADD,
            MULTIPLY,
            SHORTCUT_A,
            CONV3D,
            MAX_POOL3D,
            AVG_POOL3D,
            *(activation.operation for activation in ACTIVATIONS.values()),
        )
    }
)


def operation_of(node: Node) -> Operation:
    """The record of the node's operation.

    Raises ArchitectureError for an unknown operation or activation, a wrong number of inputs, and an activation that
    the operation cannot carry.
    """
    operation = OPERATIONS.get(node.op)
    if operation is None:
        raise ArchitectureError(f"{node.name}: unknown operation {node.op!r}; supported are {', '.join(OPERATIONS)}")
    least, most = operation.inputs
    if not least <= len(node.inputs) <= most:
        expected = str(least) if least == most else f"{least} to {most}"
        raise ArchitectureError(f"{node.name}: a {node.op} expects {expected} inputs, got {len(node.inputs)}")
    if node.activation is not None and operation.monotone_only and not activation_of(node).is_monotone:
        raise ArchitectureError(f"{node.name}: a {node.op} cannot carry the activation {node.activation!r}")
    return operation


def activation_of(node: Node) -> Activation:
    """The record of the node's activation. Raises ArchitectureError if it is unknown or None."""
    activation = ACTIVATIONS.get(node.activation or "")
    if activation is None:
        known = ", ".join(ACTIVATIONS)
        raise ArchitectureError(f"{node.name}: unknown activation {node.activation!r}; supported are {known}")
    return activation
