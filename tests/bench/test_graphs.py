"""The peers' forms of a network compute what npresnet.ops computes."""

from __future__ import annotations

from collections import Counter
from importlib.util import find_spec

import numpy as np
import pytest

from npresnet import ops
from npresnet.bench import onnx_file, recipe
from npresnet.errors import ArchitectureError
from tests.bench.networks import small_network


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((2, 3, 21, 18), dtype=np.float32)


def logits(network, x) -> np.ndarray:
    return ops.run(network, x)["logits"]


def test_a_recipe_gives_back_the_network(tmp_path, x):
    network = small_network()
    recipe.write(network, tmp_path)
    again = recipe.read(tmp_path)
    assert [(n.name, n.op, n.inputs, n.window, n.groups, n.activation) for n in again] == [
        (n.name, n.op, n.inputs, n.window, n.groups, n.activation) for n in network
    ]
    np.testing.assert_array_equal(ops.run(again, x)["fc"], logits(network, x))


def test_torch_graph(x):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from npresnet.bench import torch_graph

    network, before = small_network(), x.copy()
    with torch.no_grad():
        found = torch_graph.build(network).double()(torch.from_numpy(x).double()).numpy()
    np.testing.assert_allclose(found, logits(network, x.astype(np.float64)), rtol=1e-12)
    np.testing.assert_array_equal(x, before)


def test_torch_graph_frees_what_nobody_reads_any_more():
    pytest.importorskip("torch", reason="torch is not installed")
    from npresnet.bench import torch_graph

    code = torch_graph.build(small_network()).code
    assert "conv1 = None" in code


def test_torch_graph_refuses_an_unknown_operation():
    pytest.importorskip("torch", reason="torch is not installed")
    from npresnet.bench import torch_graph
    from npresnet.network import INPUT, Network, Node

    with pytest.raises(ArchitectureError, match="odd: no PyTorch form of swish"):
        torch_graph.build(Network((Node("odd", "swish", (INPUT,)),), {"y": "odd"}))


def test_onnx_file_in_onnxruntime(tmp_path, x):
    ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    network, path = small_network(), tmp_path / "model.onnx"
    onnx_file.write(network, path, channels=3, size=21)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    square = np.pad(x, ((0, 0), (0, 0), (0, 0), (0, 3)))  # the file says that images are square
    found = session.run(None, {"input": square})[0]
    expected = logits(network, square.astype(np.float64))
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


def test_onnx_file_speaks_protobuf(tmp_path):
    """Read back without any ONNX library, field by field."""
    path = tmp_path / "model.onnx"
    onnx_file.write(small_network(), path, channels=3, size=32)
    model = fields(path.read_bytes())
    assert model[1] == [onnx_file.IR_VERSION]
    assert fields(model[8][0]) == {1: [b""], 2: [onnx_file.OPSET]}
    graph = fields(model[7][0])
    operators = [fields(node)[4][0].decode() for node in graph[1]]
    assert (
        operators
        == (
            "Conv BatchNormalization Relu MaxPool Conv Add Relu Conv Add Relu AveragePool Slice Pad GlobalAveragePool "
            "Flatten Gemm"
        ).split()
    )
    made = {b"input"}
    constants = {fields(tensor)[8][0] for tensor in graph[5]}
    for node in map(fields, graph[1]):
        assert set(node[1]) <= made | constants
        made |= set(node[2])
    first = next(fields(tensor) for tensor in graph[5] if fields(tensor)[8] == [b"conv1/0/0"])
    assert first[1] == [8, 3, 3, 5]
    weight = small_network()["conv1"].params["weight"]
    np.testing.assert_array_equal(np.frombuffer(first[9][0], "<f4").reshape(8, 3, 3, 5), weight)


def fields(message: bytes) -> dict[int, list]:
    """{field number: values} of one protobuf message."""
    found: dict[int, list] = {}
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte, at = message[at], at + 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        key = varint()
        if key & 7 == 0:
            value = varint()
        else:
            size = varint() if key & 7 == 2 else 4
            value, at = message[at : at + size], at + size
        found.setdefault(key >> 3, []).append(value)
    return found


@pytest.mark.parametrize("name", ["resnet18", "resnext50_32x4d"])
def test_what_is_timed_runs_the_very_operators_of_torchvision(name):
    """In the same numbers, those that work in place included: so its times are those of torchvision's model."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    if find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed")
    from npresnet import arch
    from npresnet.bench import torch_graph, torchvision_models

    network, _ = arch.build(arch.random_tensors(name, seed=0))
    ours, theirs = (operators(torch, m) for m in (torch_graph.build(network), torchvision_models.build(name)))
    assert ours == theirs
    assert ours["aten.convolution.default"] > 0


def operators(torch, module) -> Counter:
    """How often each of torch's operators runs for one image."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Counting(TorchDispatchMode):
        def __init__(self):
            super().__init__()
            self.seen: Counter[str] = Counter()

        def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
            self.seen[str(operator)] += 1
            return operator(*args, **(kwargs or {}))

    with torch.no_grad(), Counting() as counting:
        module(torch.zeros(1, 3, 64, 64))
    return counting.seen
