from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from npresnet import arch, weights
from npresnet.bench.cold import Program, run_once
from npresnet.bench.process import worker_environ
from npresnet.bench.random_weights import randomise_batch_norms
from tests.bench.scripts import BENCHMARKS, script

PHOTO = BENCHMARKS.parent / "npresnet" / "data" / "chelsea.jpg"


@pytest.mark.parametrize("name", ["vs_peers", "coldstart", "determinism", "layers", "memory"])
def test_a_command_is_published_without_folders(name):
    words = ["--image", "/home/me/dog.jpg", "--threads", "2"]
    assert script(name).command(words) == f"python benchmarks/{name}.py --image dog.jpg --threads 2"


def test_vs_peers_prints_tables_and_writes_where_it_is_told(tmp_path, capsys):
    output = tmp_path / "found.json"
    words = ["--quick", "--models", "resnet18", "--batches", "1", "--engines", "npresnet", "--size", "32"]
    assert script("vs_peers").main([*words, "--onnx", "npresnet", "--output", str(output)]) == 0
    printed = capsys.readouterr()
    assert "resnet18, batch 1" in printed.out
    assert "npresnet ok" in printed.err
    assert json.loads(output.read_text())["cases"][0]["engines"]["npresnet"]["status"] == "ok"


def test_layers_prints_tables_and_writes_where_it_is_told(tmp_path, capsys):
    output = tmp_path / "found.json"
    words = ["--quick", "--models", "cifar_resnet20", "--batches", "2", "--size", "32", "--output", str(output)]
    assert script("layers").main(words) == 0
    printed = capsys.readouterr()
    assert "cifar_resnet20, batch 2, 32x32: milliseconds an image, on one thread" in printed.out
    entry = json.loads(output.read_text())
    assert entry["kind"] == "layers"
    assert str(tmp_path) not in output.read_text()


def test_memory_prints_a_table_and_writes_where_it_is_told(tmp_path, capsys):
    output = tmp_path / "found.json"
    words = ["--models", "cifar_resnet20", "--batches", "1", "16", "--engines", "npresnet", "--size", "32"]
    assert script("memory").main([*words, "--onnx", "npresnet", "--output", str(output)]) == 0
    assert "cifar_resnet20, batch 16" in capsys.readouterr().out
    entry = json.loads(output.read_text())
    assert entry["kind"] == "memory"
    for case in entry["cases"]:
        found = case["engines"]["npresnet"]
        assert found["peak_mb"] >= found["resident_mb"] > 10
        assert "median_ms" not in found


def test_memory_says_what_it_could_not_measure_and_fails(tmp_path, capsys):
    words = ["--models", "resnet19", "--engines", "npresnet", "--output", str(tmp_path / "none.json")]
    assert script("memory").main(words) == 1
    printed = capsys.readouterr()
    assert "nothing was measured" in printed.out
    assert "resnet19 left out: ArchitectureError" in printed.err


def test_vs_peers_says_what_it_could_not_measure_and_fails(tmp_path, capsys):
    assert script("vs_peers").main(["--quick", "--models", "resnet19", "--engines", "npresnet"]) == 1
    printed = capsys.readouterr()
    assert "nothing was measured" in printed.out
    assert "resnet19 left out: ArchitectureError" in printed.err


@pytest.mark.parametrize("name", ["vs_peers", "coldstart", "determinism", "layers", "memory", "report"])
def test_help_from_any_folder(name, tmp_path):
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), "--help"]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=True)
    assert f"python benchmarks/{name}.py" in done.stdout


def test_cold_programs_agree_on_the_photo(tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    tensors = randomise_batch_norms(arch.random_tensors("resnet18", seed=0), seed=0)
    torch.save({name: torch.from_numpy(np.array(array)) for name, array in tensors.items()}, tmp_path / "model.pth")
    weights.write_npz(tmp_path / "model.npz", tensors, {})
    printed = []
    for name, file in [("npresnet", "model.npz"), ("npresnet", "model.pth"), ("torch", "model.pth")]:
        arguments = [str(BENCHMARKS / "cold" / f"{name}_predict.py"), str(tmp_path / file), str(PHOTO), "1"]
        printed.append(run_once(Program(name, name, arguments), worker_environ(1)).printed)
    assert printed[0].isdigit()
    assert len(set(printed)) == 1
