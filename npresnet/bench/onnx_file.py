"""A Network as an ONNX file, written without the onnx package, so that ONNX peers can be timed where torch is absent.

An ONNX file is one protobuf message; a message is a sequence of fields, each

    varint(field number << 3 | wire type), then      wire type 0: varint      an integer
                                                     wire type 2: length, payload      text, bytes, a message
                                                     wire type 5: 4 bytes     a float32
The field numbers below are those of onnx.proto3 (ONNX IR, version 7; operator set 13).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from npresnet.bench import onnx_gates, onnx_norms
from npresnet.bench.onnx_gates import Link, Shapes, first_input_of
from npresnet.bench.onnx_norms import START
from npresnet.errors import ArchitectureError
from npresnet.network import INPUT, Network, Node
from npresnet.ops.activations import ALPHA, GELU_TANH_CUBIC, GELU_TANH_SCALE, NEGATIVE_SLOPE, QUICK_GELU_SLOPE
from npresnet.plan import infer_shapes

CHAINS = {**onnx_gates.CHAINS, **onnx_norms.CHAINS}
FLOAT32, INT64 = 1, 7  # TensorProto.DataType
IR_VERSION, OPSET = 7, 13


def write(network: Network, path: Path, *, channels: int, size: int | Sequence[int]) -> None:
    """Write the network, float32, input "input" of shape ("batch", channels, size, size), to one .onnx file.

    size  the side of a square image, or the size of a clip, (T, H, W)
    """
    sizes = (size, size) if isinstance(size, int) else tuple(size)
    nodes: list[bytes] = []
    initializers: list[bytes] = []
    shapes = infer_shapes(network, (channels, *sizes))
    for node in network:
        if node.op in VECTOR_GATES and len(shapes[node.inputs[1]]) < len(shapes[node.inputs[0]]):
            initializers.append(_tensor(f"{node.name}/axes", np.array([2, 3], np.int64)))
            gate = f"{node.name}/gate"  # (N, C) as (N, C, 1, 1)
            nodes.append(_node("Unsqueeze", gate, [node.inputs[1], f"{node.name}/axes"], gate, {}))
            node = node.evolve(inputs=(node.inputs[0], gate, *node.inputs[2:]))
        _append(node, shapes, nodes, initializers)
    (output,) = network.outputs.values()
    graph = b"".join(
        [
            *(_field(1, entry) for entry in nodes),
            _field(2, "npresnet"),
            *(_field(5, entry) for entry in initializers),
            _field(11, _value_info(INPUT, ["batch", channels, *sizes])),
            _field(12, _value_info(output, ["batch", *shapes[output]])),
        ]
    )
    opset = _field(1, "") + _field(2, OPSET)
    path.write_bytes(_field(1, IR_VERSION) + _field(2, "npresnet") + _field(7, graph) + _field(8, opset))


def _append(node: Node, shapes: Shapes, nodes: list[bytes], initializers: list[bytes]) -> None:
    """Add one of our nodes as a chain of ONNX nodes; the result of the last one has our node's name."""
    if node.op == "shortcut_a" and len(shapes[node.name]) == 4:
        chain = _shortcut_a(node, 3)
    else:
        chain = CHAINS[node.op](node, shapes) if node.op in CHAINS else _chain(node)
    if node.op in CONVOLUTIONS and len(node.inputs) > 1:
        chain.append(("Add", {}, [], node.inputs[1]))  # the residual
    before = len(chain)
    if node.activation is not None:
        chain += _chain(Node(node.name, node.activation, (INPUT,), attrs=node.attrs))
    value = start = first_input_of(node)
    for number, (op, attributes, arrays, second) in enumerate(chain):
        if number == before:
            start = value
        second = start if second == START else second
        names = [f"{node.name}/{number}/{place}" for place in range(len(arrays))]
        initializers += [_tensor(name, array) for name, array in zip(names, arrays, strict=True)]
        result = node.name if number == len(chain) - 1 else f"{node.name}/{number}"
        inputs = [value, *([second] if second else []), *names]
        nodes.append(_node(op, f"{node.name}/{number}/{op}", inputs, result, attributes))
        value = result


CONVOLUTIONS = ("conv2d", "conv3d")
VECTOR_GATES = ("multiply", "broadcast_add", "radix_weighted_sum")  # whose second input may be (N, C)


def _chain(node: Node) -> list[Link]:
    """The ONNX operators of one of our operations, without residual and activation."""
    params = {role: np.asarray(array, dtype=np.float32) for role, array in node.params.items()}
    if node.op in CONVOLUTIONS:
        arrays = [params[role] for role in ("weight", "bias") if role in params]
        return [("Conv", {**_window(node), "group": node.groups}, arrays, None)]
    if node.op == "batch_norm":
        return [("BatchNormalization", {"epsilon": float(node.attrs["eps"])}, _statistics(params), None)]
    if node.op == "linear":
        arrays = [params[role] for role in ("weight", "bias") if role in params]
        return [("Gemm", {"transB": 1}, arrays, None)]
    if node.op in ("max_pool2d", "max_pool3d"):
        return [("MaxPool", {**_window(node), **_ceil_mode(node)}, [], None)]
    if node.op in ("avg_pool2d", "avg_pool3d"):
        window = {name: value for name, value in _window(node).items() if name != "dilations"}
        inside = int(node.attrs.get("count_include_pad", True))
        return [("AveragePool", {**window, **_ceil_mode(node), "count_include_pad": inside}, [], None)]
    if node.op == "shortcut_a":
        return _shortcut_a(node)
    if node.op == "add":
        return [("Add", {}, [], node.inputs[1])]
    if node.op in _COMPOSED:
        return list(_COMPOSED[node.op])
    if node.op == "leaky_relu":
        return [("LeakyRelu", {"alpha": float(node.attrs.get("negative_slope", NEGATIVE_SLOPE))}, [], None)]
    if node.op in ("elu", "celu"):
        return [(node.op.capitalize(), {"alpha": float(node.attrs.get("alpha", ALPHA))}, [], None)]
    if node.op not in _SIMPLE:
        raise ArchitectureError(f"{node.name}: no ONNX form of {node.op} is known here")
    return [(_SIMPLE[node.op], {}, [], None)]


def _with(op: str, *constants: float) -> Link:
    return (op, {}, [np.array(constant, np.float32) for constant in constants], None)


_SIMPLE = {
    "relu": "Relu",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "selu": "Selu",
    "flatten": "Flatten",
    "global_avg_pool": "GlobalAveragePool",
}
_HARD_SIGMOID: Link = ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}, [], None)
_TIMES_START: Link = ("Mul", {}, [], START)
_COMPOSED: dict[str, tuple[Link, ...]] = {
    "relu6": (_with("Clip", 0, 6),),
    "hard_sigmoid": (_HARD_SIGMOID,),
    "hard_swish": (_HARD_SIGMOID, _TIMES_START),
    "silu": (("Sigmoid", {}, [], None), _TIMES_START),
    "gelu": (_with("Mul", 0.5**0.5), ("Erf", {}, [], None), _with("Add", 1), _TIMES_START, _with("Mul", 0.5)),
    "gelu_tanh": (
        _TIMES_START,
        _with("Mul", GELU_TANH_CUBIC),
        _with("Add", 1),
        _TIMES_START,
        _with("Mul", 2 * GELU_TANH_SCALE),
        ("Sigmoid", {}, [], None),
        _TIMES_START,
    ),
    "quick_gelu": (_with("Mul", QUICK_GELU_SLOPE), ("Sigmoid", {}, [], None), _TIMES_START),
    "mish": (("Softplus", {}, [], None), ("Tanh", {}, [], None), _TIMES_START),
    "hard_mish": (_with("Add", 2), _with("Clip", 0, 2), _TIMES_START, _with("Mul", 0.5)),
}


def _window(node: Node) -> dict[str, list[int]]:
    assert node.window is not None
    window = node.window
    return {
        "kernel_shape": list(window.kernel_size),
        "strides": list(window.stride),
        "pads": [*window.padding, *window.padding],  # top, left, bottom, right; of clips with time first
        "dilations": list(window.dilation),
    }


def _ceil_mode(node: Node) -> dict[str, int]:
    return {"ceil_mode": int(bool(node.attrs.get("ceil_mode", False)))}


def _statistics(params: dict[str, np.ndarray]) -> list[np.ndarray]:
    """scale, shift, mean, variance of a BatchNorm, each (C,); without them scale is 1 and shift 0."""
    mean, variance = params["running_mean"], params["running_var"]
    return [params.get("weight", np.ones_like(mean)), params.get("bias", np.zeros_like(mean)), mean, variance]


def _shortcut_a(node: Node, axes: int = 2) -> list[Link]:
    """x[:, :, ::stride, ::stride], of clips along three axes, then zero channels before and after."""
    stride, (before, after) = node.attrs["stride"], node.attrs["pad_channels"]
    rows = [0] * axes, [np.iinfo(np.int64).max] * axes, [*range(2, 2 + axes)], [stride] * axes
    starts_ends_axes_steps = [np.array(row, dtype=np.int64) for row in rows]
    pads = np.array([0, before, *[0] * axes, 0, after, *[0] * axes], dtype=np.int64)
    return [("Slice", {}, starts_ends_axes_steps, None), ("Pad", {}, [pads], None)]


def _node(op: str, name: str, inputs: Iterable[str], output: str, attributes: dict[str, Any]) -> bytes:
    fields = [*(_field(1, name_in) for name_in in inputs), _field(2, output), _field(3, name), _field(4, op)]
    return b"".join([*fields, *(_field(5, _attribute(key, value)) for key, value in attributes.items())])


def _attribute(name: str, value: float | int | str | list[int]) -> bytes:
    """AttributeProto: its name, the value in the field of its type, and that type's number."""
    if isinstance(value, float):
        return _field(1, name) + _varint(2 << 3 | 5) + struct.pack("<f", value) + _field(20, 1)
    if isinstance(value, int):
        return _field(1, name) + _field(3, value) + _field(20, 2)
    if isinstance(value, str):
        return _field(1, name) + _field(4, value) + _field(20, 3)
    return _field(1, name) + b"".join(_field(8, number) for number in value) + _field(20, 7)


def _tensor(name: str, array: np.ndarray) -> bytes:
    kind = INT64 if array.dtype == np.int64 else FLOAT32
    dims = b"".join(_field(1, size) for size in array.shape)
    little_endian = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return dims + _field(2, kind) + _field(8, name) + _field(9, little_endian.tobytes())


def _value_info(name: str, shape: Sequence[str | int]) -> bytes:
    dims = (_field(2, size) if isinstance(size, str) else _field(1, size) for size in shape)
    tensor_type = _field(1, FLOAT32) + _field(2, b"".join(_field(1, dim) for dim in dims))
    return _field(1, name) + _field(2, _field(1, tensor_type))


def _field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    payload = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the top bit is set if more follow."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
