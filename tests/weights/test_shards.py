"""Folders, and state dicts that are spread over several files."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from npresnet import weights
from npresnet.errors import CheckpointError
from npresnet.system.stamp import settle
from npresnet.weights.shards import IN_A_FOLDER

INDEX = "model.safetensors.index.json"
PARTS = ({"conv1.weight": (2, 3, 1, 1), "bn1.weight": (2,)}, {"fc.weight": (5, 2)}, {"fc.bias": (5,)})
FILES = [f"model-0000{n}-of-00003.safetensors" for n in (1, 2, 3)]


def arrays(part: dict) -> dict[str, np.ndarray]:
    return {name: np.random.default_rng(len(name)).random(shape, dtype=np.float32) for name, shape in part.items()}


def write_shards(folder: Path, files=FILES, index: str = INDEX, save=save_file) -> dict[str, str]:
    names = {name: file for part, file in zip(PARTS, files, strict=True) for name in part}
    for part, file in zip(PARTS, files, strict=True):
        save(arrays(part), folder / file)
    write_index(folder, names, index)
    return names


def write_index(folder: Path, names: object, index: str = INDEX) -> None:
    text = json.dumps({"metadata": {"total_size": 99}, "weight_map": names}, indent=2)
    (folder / index).write_text(text, encoding="utf-8")


def save_bin(tensors: dict, path: Path) -> None:
    torch.save({name: torch.from_numpy(array) for name, array in tensors.items()}, path)


def refuses(path: Path, match: str) -> str:
    with pytest.raises(CheckpointError, match=match) as caught:
        weights.read(path)
    assert str(caught.value).startswith(str(path))
    assert isinstance(caught.value.__cause__, CheckpointError)
    return str(caught.value)


@pytest.mark.parametrize("save", [save_file, save_bin])
@pytest.mark.parametrize("what", ["folder", "index"])
def test_all_shards_are_read(tmp_path, save, what):
    index = INDEX if save is save_file else "pytorch_model.bin.index.json"
    write_shards(tmp_path, index=index, save=save)
    path = tmp_path if what == "folder" else tmp_path / index
    found = weights.read(path)
    expected = arrays({name: shape for part in PARTS for name, shape in part.items()})
    assert sorted(found.tensors) == sorted(expected)
    assert all(np.array_equal(found.tensors[name], expected[name]) for name in expected)
    assert found.container == ("safetensors" if save is save_file else "torch zip")
    assert [os.path.basename(file) for file in found.files] == FILES
    assert found.notes == [f"3 shards, listed in {index}"]
    assert weights.read_state_dict(path).keys() == expected.keys()
    listed = weights.inspect(path)
    assert (len(listed.tensors), listed.size_bytes) == (4, sum((tmp_path / file).stat().st_size for file in FILES))


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_folder_with_one_file(tmp_path, name):
    save = save_file if name.endswith("safetensors") else save_bin
    save(arrays(PARTS[0]), tmp_path / name)
    assert weights.read(tmp_path).tensors.keys() == PARTS[0].keys()
    assert str(tmp_path / name) in weights.read(tmp_path).files


def test_whole_safetensors_come_first(tmp_path):
    write_shards(tmp_path)
    save_file(arrays(PARTS[0]), tmp_path / "model.safetensors")
    save_bin(arrays(PARTS[1]), tmp_path / "pytorch_model.bin")
    assert weights.read(tmp_path).tensors.keys() == PARTS[0].keys()


def test_a_folder_without_weights_says_what_was_looked_for(tmp_path):
    save_file(arrays(PARTS[0]), tmp_path / "other.safetensors")
    message = refuses(tmp_path, "a folder without")
    assert all(name in message for name in IN_A_FOLDER)


def test_a_missing_shard_is_named(tmp_path):
    write_shards(tmp_path)
    (tmp_path / FILES[1]).unlink()
    refuses(tmp_path, f"shard {FILES[1]} is missing, although {INDEX} names it. Download it")


def test_a_damaged_shard_is_named(tmp_path):
    write_shards(tmp_path)
    (tmp_path / FILES[1]).write_bytes((tmp_path / FILES[1]).read_bytes()[:-1])
    refuses(tmp_path / INDEX, f"shard {FILES[1]}: .*truncated")
    (tmp_path / FILES[1]).write_bytes(b"")
    refuses(tmp_path / INDEX, f"shard {FILES[1]}: the file is empty")


@pytest.mark.parametrize(
    "name", ["../outside.safetensors", "/etc/passwd", "..", ".", "", "a/../b", "..\\outside", "C:x", "sub/x", "a\0b"]
)
def test_files_outside_the_folder_are_refused(tmp_path, name):
    folder = tmp_path / "inner"
    folder.mkdir()
    save_file(arrays(PARTS[0]), tmp_path / "outside.safetensors")
    names = write_shards(folder)
    write_index(folder, names | {"fc.bias": name})
    refuses(folder, "must lie in the folder of the index")


def test_an_index_of_an_index(tmp_path):
    names = write_shards(tmp_path)
    write_index(tmp_path, names | {"more": INDEX})
    refuses(tmp_path, f"shard {INDEX}: this is JSON, not weights")


def test_a_tensor_in_two_shards(tmp_path):
    write_shards(tmp_path)
    save_file(arrays(PARTS[2] | {"bn1.weight": (2,)}), tmp_path / FILES[2])
    refuses(tmp_path, f"bn1.weight is in {FILES[2]} and in another shard")


def test_a_tensor_that_its_shard_lacks(tmp_path):
    names = write_shards(tmp_path)
    write_index(tmp_path, names | {"fc2.weight": FILES[0], "fc3.weight": FILES[0]})
    refuses(tmp_path, f"fc2.weight is not in {FILES[0]}, although {INDEX} says so, and 1 more")


@pytest.mark.parametrize("weight_map", [None, {}, [], "x", 3, {"a": 3}, {"a": ["x"]}])
def test_malformed_indices(tmp_path, weight_map):
    write_index(tmp_path, weight_map)
    refuses(tmp_path, "weight_map is not an object")


def test_broken_json(tmp_path):
    (tmp_path / INDEX).write_text('{"weight_map": {"a": "b"')
    refuses(tmp_path, "not valid JSON")
    (tmp_path / INDEX).write_text('{"message": "not found"}')
    refuses(tmp_path, "this is JSON text, not weights")


def test_too_many_shards(tmp_path):
    write_index(tmp_path, {f"t{n}": f"model-{n}.safetensors" for n in range(513)})
    refuses(tmp_path, "513 files; the limit is 512")


def test_the_identity_changes_with_any_shard(tmp_path):
    write_shards(tmp_path)
    for file in FILES:
        settle(str(tmp_path / file))
    before = weights.read(tmp_path).identity
    assert weights.read(tmp_path).identity == before != ""
    os.utime(tmp_path / FILES[2], ns=(1, 1))
    assert weights.read(tmp_path).identity != before


def test_shards_hold_state_dicts_without_wrapper(tmp_path):
    """A prefix that all shards share is removed from all."""
    parts = [{f"model.{name}": array for name, array in arrays(part).items()} for part in PARTS]
    for part, file in zip(parts, FILES, strict=True):
        save_file(part, tmp_path / file)
    write_index(tmp_path, {name: file for part, file in zip(parts, FILES, strict=True) for name in part})
    found = weights.read(tmp_path)
    assert (found.prefix, "fc.bias" in found.tensors) == ("model.", True)
    assert list(weights.read(tmp_path, "fc").tensors) == ["weight", "bias"]
