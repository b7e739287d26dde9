"""The codes of activations: the same in Python and in the kernels' header."""

from __future__ import annotations

import re

import pytest

from npresnet.cuda.activation import ACTIVATION, NONE, RELU, Activation, Code
from npresnet.system.kernel_root import kernel_root

HEADER = (kernel_root() / "common/activation.cuh").read_text(encoding="utf-8")


def test_codes_are_those_of_the_header():
    assert {name: int(value) for name, value in re.findall(r"constexpr int (\w+) = (\d+);", HEADER)} == {
        code.name: code.value for code in Code
    }
    assert sorted(re.findall(r"case (\w+):", HEADER)) == sorted(code.name for code in Code)  # each once


def test_the_struct_is_that_of_the_header():
    (fields,) = re.findall(r"struct Activation \{\n(.*?)\};", HEADER, re.DOTALL)
    assert re.findall(r"^  (\w+) (\w+);", fields, re.MULTILINE) == [("int", "code"), ("float", "parameter")]
    assert [(name, str(ACTIVATION[name])) for name in ACTIVATION.names] == [
        ("code", "int32"),
        ("parameter", "float32"),
    ]


@pytest.mark.parametrize(
    ("name", "attrs", "expected"),
    [
        (None, {}, NONE),
        ("relu", {}, RELU),
        ("leaky_relu", {"negative_slope": 0.25}, Activation(Code.LEAKY_RELU, 0.25)),
        ("leaky_relu", {}, Activation(Code.LEAKY_RELU, 0.01)),  # PyTorch's default
        ("elu", {"alpha": 0.5, "negative_slope": 0.25}, Activation(Code.ELU, 0.5)),
        ("celu", {}, Activation(Code.CELU, 1.0)),
        ("selu", {"alpha": 0.5}, Activation(Code.SELU)),
    ],
)
def test_of_a_node(name, attrs, expected):
    assert Activation.of(name, attrs) == expected
    assert expected.struct().tolist() == [(int(expected.code), pytest.approx(expected.parameter))]
