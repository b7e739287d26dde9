"""The registry: all operations and activations by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from npresnet.errors import ArchitectureError
from npresnet.network import Node
from npresnet.ops import activations
from npresnet.ops.record import Activation, Operation
from npresnet.system.later import Table, attribute

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
            activations.GELU_TANH,
            activations.QUICK_GELU,
            activations.TANH,
            activations.ELU,
            activations.CELU,
            activations.SELU,
            activations.MISH,
            activations.HARD_MISH,
        )
    }
)

_NAMES = (  # each has a file of that name with its record, which is imported when a network has the operation
    "conv2d",
    "conv2d_max_pool2d",
    "batch_norm",
    "group_norm",
    "layer_norm2d",
    "filter_response_norm",
    "evo_norm_s0",
    "prelu",
    "pad2d",
    "max_pool2d",
    "avg_pool2d",
    "global_avg_pool",
    "flatten",
    "linear",
    "add",
    "multiply",
    "shortcut_a",
    "conv3d",
    "max_pool3d",
    "avg_pool3d",
    "global_max_pool",
    "channel_conv1d",
    "broadcast_add",
    "slice_channels",
    "concat",
    "radix_sum",
    "radix_softmax",
    "radix_weighted_sum",
    "channel_mean",
    "channel_max",
    "spatial_attention_pool",
    "attention_pool2d",
)

OPERATIONS: Mapping[str, Operation] = Table(
    {
        **{name: attribute(f"npresnet.ops.{name}", name.upper()) for name in _NAMES},
        **{activation.name: activation.operation for activation in ACTIVATIONS.values()},
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
