"""Reading .npz files, and what must not be read from them."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest

from npresnet import weights
from tests.weights.fixtures import files

ARRAYS = {
    "conv1.weight": np.arange(24, dtype="f4").reshape(2, 3, 2, 2),
    "fortran": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "scalar": np.array(7, "i8"),
    "empty": np.zeros((0, 5), "f2"),
    "flags": np.array([True, False]),
    "swapped": np.arange(5, dtype=">f4"),
    "u1": np.arange(3, dtype="u1"),
    "folder/name": np.ones(1),
}


def npz(save=np.savez, **arrays) -> bytes:
    buffer = io.BytesIO()
    save(buffer, **arrays)
    return buffer.getvalue()


def same(found: dict, expected: dict) -> None:
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert np.array_equal(found[name], array), name
        assert (found[name].shape, found[name].dtype) == (array.shape, array.dtype.newbyteorder("=")), name
        assert not found[name].flags.writeable


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_files_written_by_numpy(folder, save):
    checkpoint = folder.read(npz(save, **ARRAYS))
    assert checkpoint.container == "npz"
    same(checkpoint.tensors, ARRAYS)
    assert all(array.flags.aligned for array in checkpoint.tensors.values())


def test_prefixes_are_stripped(folder):
    assert list(folder.read(npz(**{"module.fc.weight": np.ones(2), "module.fc.bias": np.ones(2)})).tensors) == [
        "fc.weight",
        "fc.bias",
    ]


def test_members_other_than_tensors_are_left_out(folder):
    raw = npz(w=np.ones(2), names=np.array(["ants", "bees"]), records=np.zeros(2, "f4,i4"), __hidden__=np.ones(1))
    checkpoint = folder.read(raw)
    assert list(checkpoint.tensors) == ["w"]
    assert len(checkpoint.notes) == 2
    assert "names" in checkpoint.notes[0]


def test_pickled_objects_are_refused(folder):
    message = folder.refuses(npz(state_dict=np.array({"w": 1})), "pickled Python objects")
    assert "np.savez(path, **state_dict)" in message
    folder.refuses(npz(w=np.array([(1, None)], [("a", "i4"), ("b", "O")])), "pickled Python objects")


def npy(header: str, data: bytes = bytes(16), *, version: int = 1, length: int | None = None) -> bytes:
    raw = header.encode("latin-1")
    layout = "<H" if version == 1 else "<I"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack(layout, len(raw) if length is None else length) + raw + data


def header(descr="'<f4'", order="False", shape="(4,)") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


@pytest.mark.parametrize(
    "text",
    [
        header(),
        header("'<f4'", "False", "( 4, )"),
        header(shape="(4L,)"),
        "{'shape': (4,), 'fortran_order': False, 'descr': '<f4'}",
        '{"descr": "<f4", "fortran_order": False, "shape": (4,)}',
        header() + " " * 100 + "\n",
    ],
)
@pytest.mark.parametrize("version", [1, 2, 3])
def test_header_variants(folder, text, version):
    assert folder.read(files.zipped({"w.npy": npy(text, version=version)})).tensors["w"].tolist() == [0] * 4


@pytest.mark.parametrize(
    ("raw", "match"),
    [
        (npy(header(shape="(5,)")), "outside its storage"),
        (npy(header(shape="(1099511627776, 1099511627776)")), "outside its storage|invalid"),
        (npy(header(shape="(99999999999999999999,)")), "shape"),
        (npy(header(shape="(-4,)")), "has no shape"),
        (npy(header(shape="(__import__('os').system('true'),)")), "has no shape"),
        (npy(header(shape="(4,) * 9")), None),
        (npy("{'descr': '<f4', 'shape': (4,)}"), "the keys descr, shape"),
        (npy("("), "the keys none"),
        (npy("(" * 9000), "the keys none"),
        (npy(header()[:-1] + "'shape': (2,), }"), "each of descr, fortran_order, shape once"),
        (npy(header()[:-1] + "'sh\\x61pe': (2,), }"), "each of descr, fortran_order, shape once"),
        (npy(header()[:-1] + '"descr": "<f2"}'), "each of descr, fortran_order, shape once"),
        (npy("(" * 11_000), "header of"),
        (npy(header(), length=60_000), "not a .npy file"),
        (npy(header(), version=9), "not a .npy file"),
        (npy(header("'|O'")), "pickled Python objects"),
        (npy(header("'<c8'", shape="(2,)")), "complex64"),
        (b"", "not a .npy file"),
        (b"\x93NUMPY", "not a .npy file"),
        (b"not an array", "not a .npy file"),
    ],
)
def test_forged_headers(folder, raw, match):
    if match is None:  # NumPy evaluates the header as an expression; the regular expression sees only the shape
        assert folder.read(files.zipped({"w.npy": raw})).tensors["w"].shape == (4,)
    else:
        folder.refuses(files.zipped({"w.npy": raw}), match)


def test_flipped_bits_in_copied_members_are_detected(folder):
    raw = bytearray(npz(w=np.zeros(1000)))
    raw[4000] ^= 1
    path = folder.write(bytes(raw))
    found = weights.inspect(path)
    assert found.tensors[0].shape == (1000,)
    folder.refuses(bytes(raw), "checksum")


@pytest.mark.parametrize(
    "text", ["[]", "{", '{"a": 1, "a": 2}', '{"a": NaN}', "[" * 5000, '{"a": ' + "9" * 6000 + "}", "{}" + "\0x"]
)
def test_metadata_that_is_not_json(folder, text):
    folder.refuses(npz(w=np.ones(2), __npresnet__=np.array(text)), "metadata|JSON")


def test_metadata_that_is_not_text(folder):
    metadata = npy(header("'<U2'", shape="()"), b"\xff" * 8)
    folder.refuses(files.zipped({"w.npy": npy(header()), "__npresnet__.npy": metadata}), "not valid text")


def test_metadata_as_bytes_and_big_endian(folder):
    text = '{"arch": "größe"}'
    assert folder.read(npz(w=np.ones(2), __npresnet__=np.frombuffer(text.encode(), "u1"))).metadata == {"arch": "größe"}
    swapped = np.array(text).astype(np.array(text).dtype.newbyteorder(">"))
    assert folder.read(npz(w=np.ones(2), __npresnet__=swapped)).metadata == {"arch": "größe"}
    folder.refuses(npz(w=np.ones(2), __npresnet__=np.ones(3)), "metadata")
