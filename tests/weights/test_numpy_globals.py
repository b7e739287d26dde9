"""NumPy arrays and scalars inside pickles, rebuilt without NumPy's unpickling."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
import pytest

from npresnet import weights
from tests.weights.fixtures import pickles as p

DTYPES = ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?", ">f4", ">i8", ">f2"]


def dumped(folder, value, protocol):
    return folder.write(pickle.dumps(value, protocol), "arrays.pkl")


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_of_every_dtype_and_layout(folder, protocol):
    rng = np.random.default_rng(0)
    arrays = {code: (rng.standard_normal((3, 4, 5)) * 50).astype(code) for code in DTYPES}
    arrays |= {f"{code} fortran": np.asfortranarray(array) for code, array in arrays.items()}
    arrays |= {str(axes): np.arange(24.0).reshape(2, 3, 4).transpose(axes) for axes in itertools.permutations(range(3))}
    arrays |= {
        "scalar": np.array(3.5),
        "empty": np.zeros((0, 7), "f4"),
        "sliced": np.arange(24.0).reshape(4, 6)[::2, 1::2],
    }
    checkpoint = weights.read(dumped(folder, {"blobs": arrays}, protocol))
    assert checkpoint.container == "pickle"
    assert checkpoint.wrapper == "blobs"
    assert list(checkpoint.tensors) == list(arrays)
    for name, array in arrays.items():
        assert checkpoint.tensors[name].dtype == array.dtype.newbyteorder("="), name
        assert np.array_equal(checkpoint.tensors[name], array), name
        assert checkpoint.tensors[name].shape == array.shape


@pytest.mark.parametrize("protocol", range(6))
def test_numpy_scalars_are_shown_as_numbers(folder, protocol):
    value = {
        "state_dict": {"w": np.ones(2, "f4")},
        "best": np.float64(91.5),
        "epoch": np.int32(7),
        "flag": np.bool_(True),
    }
    found = weights.inspect(dumped(folder, value, protocol))
    assert found.others == {"best": "91.5", "epoch": "7", "flag": "True"}


def test_python_2_arrays_and_names(folder):
    """Detectron's .pkl files: protocol 2 by Python 2, where text and array data are byte strings."""
    data = np.arange(6, dtype="<f4")
    multiarray = p.named("numpy.core.multiarray", "_reconstruct")
    empty = p.call(multiarray, p.named("numpy", "ndarray"), p.numbers(0), p.old_text(b"b"))
    dtype = p.call(p.named("numpy", "dtype"), p.old_text(b"f4"), p.number(0), p.number(1))
    order = p.sequence(p.number(3), p.old_text(b"<"), p.NONE, p.NONE, p.NONE, p.number(-1), p.number(-1), p.number(0))
    state = p.sequence(p.number(1), p.numbers(2, 3), dtype + order + p.BUILD, p.FALSE, p.old_text(data.tobytes()))
    blobs = p.pairs((p.old_text(b"conv1_w"), empty + state + p.BUILD), (p.old_text(b"caf\xe9"), p.number(1)))
    checkpoint = folder.read(p.pickled(p.pairs((p.old_text(b"blobs"), blobs))))
    assert np.array_equal(checkpoint.tensors["conv1_w"], data.reshape(2, 3))
    assert any("café" in note for note in checkpoint.notes)


def test_objects_strings_and_records_are_inert_until_read(folder):
    odd = {"objects": np.array([{}, []], object), "texts": np.array(["a"]), "records": np.zeros(2, "f4,i4")}
    raw = pickle.dumps({"state_dict": {"w": np.ones(2)}, **odd})
    assert list(folder.read(raw).tensors) == ["w"]
    for name, array in odd.items():
        folder.refuses(pickle.dumps({name: array}), "NumPy array of type")


@pytest.mark.parametrize(
    ("shape", "raw", "match"),
    [
        ((4,), bytes(12), "reaches outside|bytes"),
        ((2,), bytes(12), r"12 bytes instead of [\d,]+; it is damaged"),
        ((1 << 40, 1 << 20), bytes(4), "reaches outside|repeats stored elements too often"),
        ((-1, -3), bytes(12), "invalid"),
    ],
)
def test_arrays_whose_shape_and_bytes_disagree(folder, shape, raw, match):
    empty = p.call(
        p.named("numpy.core.multiarray", "_reconstruct"), p.named("numpy", "ndarray"), p.numbers(0), p.text("b")
    )
    dtype = p.call(p.named("numpy", "dtype"), p.text("f4"), p.FALSE, p.TRUE)
    state = p.sequence(p.number(1), p.numbers(*shape), dtype, p.FALSE, p.raw_bytes(raw))
    folder.refuses(p.pickled(p.mapping(w=empty + state + p.BUILD), 3), match)


def transposed(*axes: bytes) -> bytes:
    """Protocol 5 since NumPy 2.3: the shape of the bytes, then the order of its axes."""
    dtype = p.call(p.named("numpy", "dtype"), p.text("<f4"))
    args = (p.raw_bytes(np.arange(6, dtype="<f4").tobytes()), dtype, p.numbers(2, 3), p.text("K"), p.sequence(*axes))
    return p.pickled(p.mapping(w=p.call(p.named("numpy._core.numeric", "_frombuffer"), *args)), 5)


def test_transposed_axes(folder):
    assert folder.read(transposed(p.number(1), p.number(0))).tensors["w"].tolist() == [[0, 3], [1, 4], [2, 5]]


@pytest.mark.parametrize("axes", [(0,), (0, 0), (1, 2), (0, 1, 2), (-1, 0), ()])
def test_axes_that_are_not_a_permutation(folder, axes):
    folder.refuses(transposed(*map(p.number, axes)), "permutation")
    folder.refuses(transposed(p.text("a"), p.NONE), "permutation")


@pytest.mark.parametrize(
    "args",
    [
        (),
        (p.NONE,),
        (p.NONE, p.NONE, p.NONE, p.NONE),
        (p.text("f4"), p.number(1)),
        (p.EMPTY_LIST, p.EMPTY_DICT, p.NONE),
    ],
)
@pytest.mark.parametrize("name", ["_reconstruct", "scalar"])
def test_invalid_arguments(folder, name, args):
    made = p.call(p.named("numpy.core.multiarray", name), *args)
    folder.refuses(p.pickled(p.mapping(w=made + p.NONE + p.BUILD)))
    folder.refuses(p.pickled(p.mapping(w=p.call(p.named("numpy._core.numeric", "_frombuffer"), *args))))


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_log_of_many_scalars_is_no_attack(folder, protocol):
    """The loss of each iteration of 200 epochs, beside a small network."""
    path = folder.write(pickle.dumps({"state_dict": {"w": np.ones(3)}, "losses": [np.float64(1.5)] * 78_000}, protocol))
    assert weights.read_state_dict(path).keys() == {"w"}
