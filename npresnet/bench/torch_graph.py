"""A Network as a PyTorch module: PyTorch's own layers, called in straight-line code that torch.fx writes.

The code does what torchvision's modules do: ReLU and the residual's addition in place where no other layer reads the
value, and every activation freed after its last reader (by torch.fx).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from npresnet.bench import torch_gates
from npresnet.bench.torch_norms import ACTIVATIONS, ATTRS, NORMS, WRITTEN_HERE, activation_options
from npresnet.errors import ArchitectureError
from npresnet.network import INPUT, Network, Node

if TYPE_CHECKING:
    import torch

FUNCTIONS = {**torch_gates.FUNCTIONS, **NORMS}


def build(network: Network) -> torch.nn.Module:
    """A module in eval mode, float32, that maps (N, C, H, W), or clips, to the network's only output."""
    import torch

    root, graph = torch.nn.Module(), torch.fx.Graph()
    values: dict[str, torch.fx.Node] = {INPUT: graph.placeholder(INPUT)}
    readers = network.consumers()
    for node in network:
        own = {name: len(readers[name]) == 1 and name != INPUT for name in node.inputs}  # may be overwritten
        value = _call(root, graph, node, [values[name] for name in node.inputs], own)
        values[node.name] = _activated(graph, node.activation, node, value, inplace=True) if node.activation else value
    (output,) = network.outputs.values()
    graph.output(values[output])
    return torch.fx.GraphModule(root, graph).eval()


def run(network: Network, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Every node's value, each by PyTorch's own layer in x's dtype, without overwriting or freeing any."""
    values = {INPUT: x}
    for node in network:
        inputs = [values[name] for name in node.inputs]
        if len(inputs) > 1:
            value = sum(inputs[1:], inputs[0]) if node.op == "add" else _function(node)(*inputs, **_options(node))
            then = node.evolve(op=node.activation, activation=None)
            values[node.name] = value if node.activation is None else _alone(then, value)
        else:
            values[node.name] = _alone(node, *inputs)
    return values


def _alone(node: Node, x: torch.Tensor) -> torch.Tensor:
    """The value of a node of one input, in x's dtype."""
    alone = Network((node.evolve(inputs=(INPUT,)),), {"out": node.name})
    value: torch.Tensor = build(alone).to(x.dtype)(x)
    return value


def _call(root: torch.nn.Module, graph: Any, node: Node, inputs: list[Any], own: dict[str, bool]) -> Any:
    """The fx node that computes one of our nodes without its activation."""
    import torch

    if node.op in _LAYERS:
        name = node.name.replace(".", "_")
        root.add_module(name, _LAYERS[node.op](node))
        value = graph.call_module(name, (inputs[0],))
        return graph.call_method("add_", (value, inputs[1])) if len(inputs) > 1 else value
    if node.op in ACTIVATIONS or node.op in WRITTEN_HERE:
        return _activated(graph, node.op, node, inputs[0], inplace=own[node.inputs[0]])
    if node.op == "add":
        return graph.call_method("add_" if own[node.inputs[0]] else "add", tuple(inputs))
    if node.op in FUNCTIONS:
        return graph.call_function(FUNCTIONS[node.op], tuple(inputs), {**_options(node), **_params(root, graph, node)})
    if node.op in POOLS:
        return _functional(graph, node.op, inputs[0], **_pool_options(node))
    if node.op == "global_avg_pool":
        return graph.call_function(_global_avg_pool, (inputs[0],))
    if node.op == "flatten":
        return graph.call_function(torch.flatten, (inputs[0], 1))
    if node.op == "shortcut_a":
        return graph.call_function(_shortcut_a, (inputs[0], node.attrs["stride"], tuple(node.attrs["pad_channels"])))
    raise ArchitectureError(f"{node.name}: no PyTorch form of {node.op} is known here")


POOLS = ("max_pool2d", "avg_pool2d", "max_pool3d", "avg_pool3d")


def _params(root: torch.nn.Module, graph: Any, node: Node) -> dict[str, Any]:
    """The node's parameters as parameters of the module, by role."""
    import torch

    found = {}
    for role, array in node.params.items():
        name = f"{node.name.replace('.', '_')}_{role}"
        tensor = torch.from_numpy(np.array(array, dtype=np.float32))
        root.register_parameter(name, torch.nn.Parameter(tensor, requires_grad=False))
        found[role] = graph.get_attr(name)
    return found


def _function(node: Node) -> Callable[..., Any]:
    if node.op not in FUNCTIONS:
        raise ArchitectureError(f"{node.name}: no PyTorch form of {node.op} is known here")
    return FUNCTIONS[node.op]


def _options(node: Node) -> dict[str, Any]:
    """The further arguments of the function of a node, but for its parameters, which have their own names."""
    if node.op in NORMS:
        return {name: node.attrs[name] for name in ATTRS if name in node.attrs}
    return torch_gates.options_of(node)


def _activated(graph: Any, name: str, node: Node, value: Any, *, inplace: bool) -> Any:
    if name in WRITTEN_HERE:
        return graph.call_function(WRITTEN_HERE[name], (value,))
    if name not in ACTIVATIONS:
        raise ArchitectureError(f"{node.name}: no PyTorch form of {name} is known here")
    return _functional(graph, ACTIVATIONS[name], value, **activation_options(name, node, inplace=inplace))


def _functional(graph: Any, name: str, value: Any, **options: Any) -> Any:
    import torch

    return graph.call_function(getattr(torch.nn.functional, name), (value,), options)


def _pool_options(node: Node) -> dict[str, Any]:
    assert node.window is not None
    options: dict[str, Any] = {
        "kernel_size": node.window.kernel_size,
        "stride": node.window.stride,
        "padding": node.window.padding,
        "ceil_mode": bool(node.attrs.get("ceil_mode", False)),
    }
    if node.op.startswith("max"):
        return {**options, "dilation": node.window.dilation}
    return {**options, "count_include_pad": bool(node.attrs.get("count_include_pad", True))}


def _global_avg_pool(x: torch.Tensor) -> torch.Tensor:
    """Of images, or of clips."""
    import torch

    functional = torch.nn.functional
    return functional.adaptive_avg_pool3d(x, 1) if x.ndim == 5 else functional.adaptive_avg_pool2d(x, 1)


def _shortcut_a(x: torch.Tensor, stride: int, pad_channels: tuple[int, int]) -> torch.Tensor:
    """x[:, :, ::stride, ::stride], of clips every stride-th frame too, then zero channels before and after."""
    import torch

    axes = x.ndim - 2
    thinned = x[(slice(None),) * 2 + (slice(None, None, stride),) * axes]
    return torch.nn.functional.pad(thinned, (0, 0) * axes + pad_channels)


def _convolution(node: Node) -> torch.nn.Module:
    import torch

    assert node.window is not None
    weight = node.params["weight"]  # (O, C/G, KH, KW), or (O, C/G, KT, KH, KW)
    window = node.window
    layer: torch.nn.Module = (torch.nn.Conv3d if node.op == "conv3d" else torch.nn.Conv2d)(
        weight.shape[1] * node.groups,
        weight.shape[0],
        window.kernel_size,
        window.stride,
        window.padding,
        window.dilation,
        node.groups,
        bias="bias" in node.params,
    )
    return _filled(layer, node)


def _linear(node: Node) -> torch.nn.Module:
    import torch

    out_features, in_features = node.params["weight"].shape
    return _filled(torch.nn.Linear(in_features, out_features, bias="bias" in node.params), node)


def _batch_norm(node: Node) -> torch.nn.Module:
    import torch

    channels = node.params["running_mean"].shape[0]
    layer = torch.nn.BatchNorm2d(channels, eps=node.attrs["eps"], affine="weight" in node.params)
    layer._check_input_dim = lambda x: None  # of clips too
    return _filled(layer, node)


def _filled(layer: torch.nn.Module, node: Node) -> torch.nn.Module:
    import torch

    arrays = {role: torch.from_numpy(np.array(array, dtype=np.float32)) for role, array in node.params.items()}
    layer.load_state_dict(arrays, strict=False)  # not strict: num_batches_tracked is unused in eval mode
    return layer


_LAYERS: dict[str, Callable[[Node], Any]] = {
    "conv2d": _convolution,
    "conv3d": _convolution,
    "linear": _linear,
    "batch_norm": _batch_norm,
}
