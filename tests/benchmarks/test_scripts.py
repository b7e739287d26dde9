from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from benchmarks import draft, folder, layers, memory, vs_peers
from benchmarks.kit.cold import Program, run_once
from npresnet import arch, weights
from npresnet.bench.process import worker_environ
from npresnet.bench.random_weights import randomise_batch_norms
from npresnet.images import preprocess
from tests.support.checkout import REPOSITORY
from tests.support.children import no_torch_in_children

__all__ = ["no_torch_in_children"]

BENCHMARKS = REPOSITORY / "benchmarks"
PHOTO = REPOSITORY / "npresnet" / "data" / "chelsea.jpg"
SCRIPTS = (
    "vs_peers coldstart determinism draft families folder gpu_model gpu_report interpreters layers memory ray_scaling "
    "report serve"
).split()


def test_vs_peers_prints_tables_and_writes_where_it_is_told(tmp_path, capsys, no_torch_in_children):
    output = tmp_path / "found.json"
    words = ["--quick", "--models", "resnet18", "--batches", "1", "--engines", "npresnet", "--size", "32"]
    assert vs_peers.main([*words, "--onnx", "npresnet", "--output", str(output)]) == 0
    printed = capsys.readouterr()
    assert "resnet18, batch 1" in printed.out
    assert "npresnet ok" in printed.err
    entry = json.loads(output.read_text())
    assert entry["cases"][0]["engines"]["npresnet"]["status"] == "ok"
    assert entry["command"].startswith("python benchmarks/vs_peers.py --quick --models resnet18")
    assert entry["command"].endswith("--output found.json")


def test_layers_prints_tables_and_writes_where_it_is_told(tmp_path, capsys):
    output = tmp_path / "found.json"
    words = ["--quick", "--models", "cifar_resnet20", "--batches", "2", "--size", "32", "--output", str(output)]
    assert layers.main(words) == 0
    printed = capsys.readouterr()
    assert "cifar_resnet20, batch 2, 32x32: milliseconds an image, on one thread" in printed.out
    entry = json.loads(output.read_text())
    assert entry["kind"] == "layers"
    assert entry["command"].startswith("python benchmarks/layers.py --quick")
    assert str(tmp_path) not in output.read_text()


def test_memory_prints_a_table_and_writes_where_it_is_told(tmp_path, capsys, no_torch_in_children):
    output = tmp_path / "found.json"
    words = ["--models", "cifar_resnet20", "--batches", "1", "16", "--engines", "npresnet", "--size", "32"]
    assert memory.main([*words, "--onnx", "npresnet", "--output", str(output)]) == 0
    assert "cifar_resnet20, batch 16" in capsys.readouterr().out
    entry = json.loads(output.read_text())
    assert entry["kind"] == "memory"
    assert entry["command"].startswith("python benchmarks/memory.py --models cifar_resnet20")
    for case in entry["cases"]:
        found = case["engines"]["npresnet"]
        assert found["peak_mb"] >= found["resident_mb"] > 10
        assert "median_ms" not in found


def test_memory_says_what_it_could_not_measure_and_fails(tmp_path, capsys, no_torch_in_children):
    words = ["--models", "resnet19", "--engines", "npresnet", "--output", str(tmp_path / "none.json")]
    assert memory.main(words) == 1
    printed = capsys.readouterr()
    assert "nothing was measured" in printed.out
    assert "resnet19 left out: ArchitectureError" in printed.err


def test_vs_peers_says_what_it_could_not_measure_and_fails(capsys, no_torch_in_children):
    assert vs_peers.main(["--quick", "--models", "resnet19", "--engines", "npresnet"]) == 1
    printed = capsys.readouterr()
    assert "nothing was measured" in printed.out
    assert "resnet19 left out: ArchitectureError" in printed.err


def test_every_script_is_listed():
    assert sorted(path.stem for path in BENCHMARKS.glob("*.py") if path.stem != "__init__") == sorted(SCRIPTS)
    listed = (BENCHMARKS / "__init__.py").read_text(encoding="utf-8")
    assert [name for name in SCRIPTS if f"    {name} " not in listed] == []


@pytest.mark.parametrize("name", SCRIPTS)
def test_help_from_any_folder(name, tmp_path):
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), "--help"]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=True)
    assert f"python benchmarks/{name}.py" in done.stdout


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_imports_from_its_own_checkout_and_each_module_once(name, tmp_path):
    (tmp_path / "npresnet").mkdir()
    (tmp_path / "npresnet" / "__init__.py").write_text("raise ImportError('another npresnet')")
    program = """
import json, os, runpy, sys
script, root = sys.argv[1:]
sys.path.insert(0, os.path.dirname(script))  # as `python script` has it
runpy.run_path(script, run_name="script")
files = {name: getattr(module, "__file__", None) or "" for name, module in sys.modules.items()}
print(json.dumps({name: file for name, file in files.items() if file.startswith(root)}))
"""
    command = [sys.executable, "-c", program, str(BENCHMARKS / f"{name}.py"), f"{REPOSITORY}{os.sep}"]
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert {"npresnet", "benchmarks", "benchmarks.kit.script"} <= found.keys()
    assert {name.partition(".")[0] for name in found} <= {"npresnet", "benchmarks", "tests"}
    assert len(set(found.values())) == len(found)


@pytest.mark.parametrize("size", [(500, 375), (333, 500), (103, 375), (474, 474), (998, 998)])
def test_programs_without_a_library_for_it_preprocess_as_the_others(size, tmp_path):
    """Also where 256 / short * short, rounded, is less than 256."""
    with Image.open(PHOTO) as photo:
        photo.resize(size).save(tmp_path / "a.png")
    theirs = runpy.run_path(str(BENCHMARKS / "cold" / "preprocess.py"))["preprocess"](tmp_path / "a.png")
    np.testing.assert_allclose(theirs, preprocess(tmp_path / "a.png"), rtol=0, atol=1e-6)


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


def test_folder_programs_agree_and_the_entry_goes_where_it_is_told(tmp_path, capsys, no_torch_in_children):
    output = tmp_path / "found.json"
    words = ["--photos", "3", "--megapixels", "0.1", "0.2", "--quick", "--programs", "npresnet", "onnxruntime"]
    assert folder.main([*words, "--threads", "1", "--output", str(output)]) == 0
    assert "npresnet, draft=True" in capsys.readouterr().out
    entry = json.loads(output.read_text())
    assert entry["kind"] == "folder"
    programs = entry["programs"]
    assert list(programs) == ["npresnet", "npresnet.draft", "onnxruntime.0", "onnxruntime.2"]
    assert all(program.get("different", 0) == 0 for program in programs.values())
    assert programs["npresnet"]["cpu_ms"] > 0
    assert str(tmp_path) not in output.read_text()


def test_draft_says_what_changes(tmp_path, capsys):
    output = tmp_path / "found.json"
    assert draft.main(["--crops", "1", "--photos", "1", "--cifar", "4", "--output", str(output)]) == 0
    entry = json.loads(output.read_text())
    assert entry["kind"] == "draft"
    assert [len(found["rows"]) for found in entry["sets"]] == [5] * len(entry["sets"])
    assert "at least 3 times" in capsys.readouterr().out
