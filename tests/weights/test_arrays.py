"""`{name: array}` is read as a file of these arrays is; read-only arrays are used in place."""

from __future__ import annotations

import sys
from collections import OrderedDict
from types import MappingProxyType, SimpleNamespace

import numpy as np
import pytest

from npresnet import weights
from npresnet.errors import CheckpointError


def frozen(array):
    array = np.array(array)
    array.flags.writeable = False
    return array


@pytest.fixture
def arrays():
    generator = np.random.default_rng(3)
    return {
        "stem.weight": generator.random((4, 3, 3, 3), np.float32),
        "fc.weight": generator.random((5, 4)),
        "half": generator.random((2, 2)).astype(np.float16),
        "count": np.int64(9),
        "flags": np.array([True, False]),
        "empty": np.zeros((0, 3), np.float32),
    }


def test_they_are_read_as_from_a_file(arrays, tmp_path):
    np.savez(tmp_path / "w.npz", **arrays)
    expected = weights.read(tmp_path / "w.npz")
    for source in (arrays, OrderedDict(arrays), MappingProxyType(arrays), np.load(tmp_path / "w.npz")):
        found = weights.read(source)
        assert (found.path, found.container, found.files) == ("<arrays>", "arrays", [])
        np.testing.assert_equal(found.tensors, expected.tensors)
        assert [a.dtype for a in found.tensors.values()] == [a.dtype for a in expected.tensors.values()]
        assert not any(array.flags.writeable for array in found.tensors.values())


def test_wrapping_prefixes_and_facts(arrays):
    inner = {f"module.{name}": array for name, array in arrays.items()}
    found = weights.read({"state_dict": inner, "epoch": 3, "classes": ["ant", "bee"], "optimizer": SimpleNamespace()})
    assert (found.wrapper, found.prefix, found.facts["labels"]) == ("state_dict", "module.", ["ant", "bee"])
    np.testing.assert_equal(found.tensors, weights.read_state_dict(arrays))
    both = {"model": inner, "ema": {name: array + 1 for name, array in inner.items() if name != "module.flags"}}
    np.testing.assert_array_equal(weights.read_state_dict(both, "ema")["count"], 10)


def test_names_that_begin_with_two_underscores_are_no_tensors(arrays):
    assert list(weights.read_state_dict({**arrays, "__header__": np.zeros(2)})) == list(arrays)


@pytest.mark.parametrize("form", [np.array, str, lambda text: np.frombuffer(text.encode(), np.uint8)])
def test_metadata(arrays, form):
    assert weights.read({**arrays, "__npresnet__": form('{"format": "é"}')}).metadata == {"format": "é"}


def test_metadata_as_an_object_and_damaged(arrays):
    assert weights.read({**arrays, "__npresnet__": {"format": "x", 1: (2,)}}).metadata == {"format": "x", "1": [2]}
    itself: dict = {}
    itself["again"] = itself
    for bad in ("{", '["list"]', np.zeros(3), 5, {"format": np.zeros(3)}, {"x": float("nan")}, itself):
        with pytest.raises(CheckpointError, match=r"<arrays>: its (metadata|__npresnet__) (is|holds) "):
            weights.read({**arrays, "__npresnet__": bad})


# --- memory ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", [lambda a: a, lambda a: a.T, lambda a: a[::-1, ::2], lambda a: a[:1].repeat(1)])
def test_read_only_arrays_are_used_in_place(view):
    array = view(frozen(np.arange(48, dtype=np.float32).reshape(6, 8)))
    array.flags.writeable = False
    (found,) = weights.read_state_dict({"w": array}).values()
    np.testing.assert_array_equal(found, array)
    assert found.__array_interface__["data"][0] == array.__array_interface__["data"][0]
    assert found.strides == array.strides


def test_arrays_that_can_be_written_into_are_copied():
    array = np.ones((3, 4), np.float32)
    (found,) = weights.read_state_dict({"w": array}).values()
    array[:] = 2
    assert (found == 1).all()
    assert array.flags.writeable


def test_read_only_views_of_what_can_be_written_into_are_copied():
    array, raw = np.ones((3, 4), np.float32), bytearray(np.ones(12, np.float32).tobytes())
    views = {"all": array.view(), "rows": array[1:], "repeated": np.broadcast_to(array[0], (2, 4))}
    views["buffer"] = np.frombuffer(memoryview(raw).toreadonly(), np.float32)
    for view in views.values():
        view.flags.writeable = False
    found = weights.read_state_dict(views)
    array[:], raw[:] = 2, bytes(len(raw))
    for name, view in views.items():
        assert view.max() != 1
        assert (found[name] == 1).all(), name


def test_masked_arrays_are_refused_where_values_are_missing():
    values = np.arange(4.0)
    (found,) = weights.read_state_dict({"w": np.ma.masked_array(values, mask=[0, 0, 0, 0])}).values()
    assert (type(found), found.tolist()) == (np.ndarray, values.tolist())
    with pytest.raises(CheckpointError, match=r"<arrays>: w is a masked array.*filled"):
        weights.read_state_dict({"w": np.ma.masked_array(values, mask=values > 2)})


def test_a_subclass_gives_a_plain_array():
    (found,) = weights.read_state_dict({"w": frozen([[1.0, 2.0]]).view(np.matrix)}).values()
    assert type(found) is np.ndarray


def test_byte_order_and_alignment():
    other = frozen(np.arange(5, dtype=np.dtype("f4").newbyteorder(">" if sys.byteorder == "little" else "<")))
    odd = np.frombuffer(b"x" + np.arange(5, dtype=np.float32).tobytes(), np.float32, offset=1)
    for array in (other, odd):
        (found,) = weights.read_state_dict({"w": array}).values()
        np.testing.assert_array_equal(found, np.arange(5))
        assert found.dtype.isnative
        assert found.flags.aligned


# --- what is refused -------------------------------------------------------------------------------------------------


def test_text_is_left_out_with_a_note(arrays):
    found = weights.read({**arrays, "names": np.array(["a", "b"])})
    assert "names" not in found.tensors
    assert found.notes == ["array names holds text or records and was left out"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.array([1, None], object), r"w is an array of dtype object; expected floats.*Cast it"),
        (np.zeros(2, np.longdouble), r"w is an array of dtype .*; expected floats of at most 64 bits"),
        (np.zeros(2, np.complex64), r"w: a complex64 tensor, which is not supported"),
    ],
)
def test_dtypes(arrays, value, words):
    with pytest.raises(CheckpointError, match=f"<arrays>: {words}"):
        weights.read({**arrays, "w": value})


def test_tensors_of_torch_are_refused_with_the_way_out(arrays):
    torch = pytest.importorskip("torch")
    network = torch.nn.Conv2d(3, 4, 3)
    with pytest.raises(CheckpointError, match=r"weight is a torch\.Tensor, expected a NumPy array\. Pass \{k: v\.cpu"):
        weights.read(network.state_dict())
    with pytest.raises(CheckpointError, match=r"torch\.Parameter"):
        weights.read(dict(network.named_parameters()))
    way_out = {k: v.cpu().numpy() for k, v in network.state_dict().items()}
    np.testing.assert_array_equal(weights.read_state_dict(way_out)["bias"], network.bias.detach().numpy())


class Foreign:
    def __array__(self, dtype=None, copy=None):
        return np.ones(3)


def test_arrays_of_other_libraries(arrays):
    with pytest.raises(CheckpointError, match=r"inner\.w is a tests\.Foreign, expected a NumPy .*numpy\.asarray"):
        weights.read({"inner": {"w": Foreign()}})


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({}, "it is empty. Pass {name: array}"),
        ({"a": [1.0], 5: "x"}, r"a \(list\), 5 \(str\). Pass {name: array}"),
        ({"a": {"b": None}}, r"a \(dict\). Pass {name: array}"),
    ],
)
def test_a_mapping_without_arrays(source, words):
    with pytest.raises(CheckpointError, match=f"<arrays>: none of its entries is a NumPy array: {words}"):
        weights.read(source)


def test_a_mapping_that_holds_itself(arrays):
    source = dict(arrays)
    source["self"] = source
    assert list(weights.read_state_dict(source)) == list(arrays)


def test_mappings_that_refer_to_each_other_are_visited_once(arrays):
    """As many times as there are paths to them it would be 2 ** 16 times."""
    reads = []

    class Counting(dict):
        def items(self):
            reads.append(self)
            return super().items()

    inner = Counting(arrays)
    outer = Counting(arrays, one=inner, other=inner)
    inner.update(back=outer, again=outer)
    assert list(weights.read_state_dict({"state_dict": outer})) == list(arrays)
    assert len(reads) == 2
