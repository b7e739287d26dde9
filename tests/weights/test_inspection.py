"""inspect: a file's contents as text, also if it is not a ResNet or cannot be loaded."""

from __future__ import annotations

import argparse

import numpy as np
import torch

from npresnet import weights
from tests.weights.test_torch_zip import saved


def test_a_real_training_checkpoint(cifar_checkpoints):
    found = weights.inspect(cifar_checkpoints[20])
    assert (found.container, found.wrapper, found.prefix) == ("torch legacy", "state_dict", "module.")
    assert len(found.tensors) == 97
    assert found.parameters == sum(array.size for array in weights.read_state_dict(cifar_checkpoints[20]).values())
    assert found.size_bytes == 1_099_231
    text = str(found)
    assert "container  torch legacy" in text
    assert "layer1.0.conv1.weight      (16, 16, 3, 3)  float32" in text
    assert "best_prec1: 91.7" in text


def test_names_shapes_dtypes_are_those_of_the_file(folder):
    state = {"b": torch.ones(2, 3, dtype=torch.bfloat16), "n": torch.tensor(3), "s": torch.eye(3).to_sparse()}
    found = weights.inspect(folder.write(saved(state)))
    assert [(t.name, t.shape, t.dtype) for t in found.tensors] == [
        ("b", (2, 3), "bfloat16"),
        ("n", (), "int64"),
        ("s", (), "a sparse tensor"),
    ]


def test_other_entries_in_one_line_each(folder):
    value = {
        "state_dict": {"w": torch.ones(2)}, "epoch": 90, "arch": "resnet50", "lr": 0.1, "done": True, "none": None,
        "args": argparse.Namespace(a=1), "history": [1, 2, 3], "optimizer": {"state": {}, "param_groups": []},
        "mean": torch.ones(3), "long": "x" * 1000, "size": torch.Size([1, 2]), "device": torch.device("cpu"),
    }  # fmt: skip
    others = weights.inspect(folder.write(saved(value))).others
    assert others | {"long": ""} == {
        "epoch": "90", "arch": "'resnet50'", "lr": "0.1", "done": "True", "none": "None",
        "args": "argparse.Namespace, kept inert", "history": "list of 3", "optimizer": "dict of 2",
        "mean": "float32 tensor (3,)", "long": "", "size": "tuple of 2", "device": "torch.device, kept inert",
    }  # fmt: skip
    assert len(others["long"]) <= 60


def test_files_without_a_state_dict_are_listed(folder):
    found = weights.inspect(folder.write(saved(torch.nn.Linear(2, 2))))
    assert found.tensors == []
    assert found.others == {"(the object)": "torch.nn.modules.linear.Linear, kept inert"}
    assert found.notes[0].startswith("it holds a pickled object (torch.nn.modules.linear.Linear)")
    found = weights.inspect(folder.write(saved({"epoch": 3})))
    assert found.others == {"epoch": "3"}
    assert "epoch: 3" in str(found)


def test_our_own_metadata(tmp_path):
    weights.write_npz(tmp_path / "w.npz", {"w": np.ones(2)}, {"arch": "resnet18", "labels": ["a"] * 1000})
    found = weights.inspect(tmp_path / "w.npz")
    assert found.metadata["arch"] == "resnet18"
    assert "arch: resnet18" in str(found)
    assert max(map(len, str(found).splitlines())) < 200


def test_names_cannot_control_the_terminal(folder):
    text = str(weights.inspect(folder.write(saved({"\x1b[2J\r\nw": torch.ones(1), "ok": "\x1b[31m"}))))
    assert "\x1b" not in text
    assert "\r" not in text
