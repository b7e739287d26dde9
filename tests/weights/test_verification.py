"""`verify` reads a file of any format whole, and finds a damaged byte where the format has checksums."""

from __future__ import annotations

import hashlib
import json
import pickle
import zipfile

import numpy as np
import pytest

from npresnet import CheckpointError, weights
from npresnet.weights.npz_write import write_npz

TENSORS = {
    "conv.weight": np.random.default_rng(0).standard_normal((5, 3, 3, 3)).astype(np.float32),
    "steps": np.arange(7),
    "half": np.ones((2, 9), np.float16),
}


def write_own(path):
    write_npz(path, TENSORS, {"note": "ours"})


def write_numpy(path):
    with open(path, "wb") as file:
        np.savez(file, **TENSORS)


def write_deflated(path):
    with open(path, "wb") as file:
        np.savez_compressed(file, **TENSORS)


def write_pickle(path):
    path.write_bytes(pickle.dumps(TENSORS))


def write_safetensors(path, tensors=TENSORS):
    parts, head, at = [], {}, 0
    codes = {"float32": "F32", "int64": "I64", "float16": "F16"}
    for name, array in tensors.items():
        parts.append(array.tobytes())
        offsets = [at, at := at + array.nbytes]
        head[name] = {"dtype": codes[array.dtype.name], "shape": array.shape, "data_offsets": offsets}
    text = json.dumps(head).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(parts))


def write_torch(path, *, legacy: bool = False):
    torch = pytest.importorskip("torch")
    tensors = {name: torch.from_numpy(array) for name, array in TENSORS.items()}
    torch.save(tensors, path, _use_new_zipfile_serialization=not legacy)


def write_torch_without_checks(path):
    torch = pytest.importorskip("torch")
    torch.serialization.set_crc32_options(False)
    try:
        write_torch(path)
    finally:
        torch.serialization.set_crc32_options(True)


ZIPS = {"own": write_own, "numpy": write_numpy, "deflated": write_deflated, "torch": write_torch}
OTHERS = {
    "pickle": write_pickle,
    "safetensors": write_safetensors,
    "legacy": lambda path: write_torch(path, legacy=True),
    "torch without checks": write_torch_without_checks,
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "w.bin"


@pytest.mark.parametrize("write", {**ZIPS, **OTHERS}.values(), ids={**ZIPS, **OTHERS})
def test_a_whole_file(path, write):
    write(path)
    found = weights.verify(path)
    assert (found.tensors, found.not_finite, found.size_bytes) == (3, [], path.stat().st_size)
    assert found.sha256 == [hashlib.sha256(path.read_bytes()).hexdigest()]
    members = len(zipfile.ZipFile(path).namelist()) if zipfile.is_zipfile(path) else 0
    assert found.members + found.unchecked == members
    assert (found.members > 0) == (write in ZIPS.values())
    assert f"all elements of {found.tensors} tensors" in str(found)


@pytest.mark.parametrize("write", ZIPS.values(), ids=ZIPS)
def test_each_damaged_byte_of_a_tensor_is_found(path, write):
    write(path)
    good = path.read_bytes()
    largest = max(zipfile.ZipFile(path).infolist(), key=lambda info: info.compress_size)
    local = good[largest.header_offset :]
    start = largest.header_offset + 30 + int.from_bytes(local[26:28], "little") + int.from_bytes(local[28:30], "little")
    for at in range(start + 130, start + largest.compress_size, 41):
        path.write_bytes(good[:at] + bytes([good[at] ^ 0x10]) + good[at + 1 :])
        with pytest.raises(CheckpointError, match=str(path)):
            weights.verify(path)


@pytest.mark.parametrize("write", OTHERS.values(), ids=OTHERS)
def test_a_file_cut_short(path, write):
    write(path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(CheckpointError):
        weights.verify(path)


def test_a_name_that_tells_the_hash_must_be_right(tmp_path):
    write_pickle(tmp_path / "x")
    digest = hashlib.sha256((tmp_path / "x").read_bytes()).hexdigest()
    for told in (digest[:8], "0123abcd"):
        path = (tmp_path / "x").replace(tmp_path / f"net-{told}.pth")
        if told == digest[:8]:
            weights.verify(path)
            path.replace(tmp_path / "x")
        else:
            with pytest.raises(CheckpointError, match=f"0123abcd.*{digest}"):
                weights.verify(path)


def test_tensors_of_every_state_dict_are_read_and_nan_is_said(path):
    student = {"w": np.ones(3, np.float32)}
    teacher = {"w": np.array([1, np.nan], np.float32), "deep": [np.array([np.inf], np.float16)]}
    path.write_bytes(pickle.dumps({"student": student, "teacher": teacher}))
    found = weights.verify(path)
    assert found.tensors == 3
    assert found.not_finite == ["teacher.w", "teacher.deep.0"]
    assert "2 tensors hold infinities or NaN: teacher.w, teacher.deep.0" in str(found)


def test_shards_are_all_read(tmp_path):
    index = {"weight_map": {}}
    for number, (name, array) in enumerate(TENSORS.items(), start=1):
        file = f"model-{number}-of-3.safetensors"
        write_safetensors(tmp_path / file, {name: array})
        index["weight_map"][name] = file
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    found = weights.verify(tmp_path)
    assert (found.tensors, len(set(found.sha256))) == (3, 3)


def test_large_numbers_whose_sum_overflows_are_finite(path):
    path.write_bytes(pickle.dumps({"w": np.full((4, 4), np.finfo(np.float64).max)}))
    assert weights.verify(path).not_finite == []


def test_own_files_keep_a_checksum_of_every_member(path):
    write_own(path)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert all(info.CRC for info in archive.infolist())


def test_a_date_in_a_name_is_no_hash(tmp_path):
    path = tmp_path / "resnet8-20240115.pth"
    write_numpy(path)
    assert "SHA-256" in str(weights.verify(path))
