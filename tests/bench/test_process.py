from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from npresnet.bench.process import (
    Process,
    WorkerDiedError,
    WorkerError,
    WorkerHungError,
    without_paths,
    worker_environ,
)
from tests.bench import fake_engines

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _workers_find_the_fakes(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))


def job(batch: int = 1) -> dict:
    return {"folder": "/home/me", "model": "nothing", "batch": batch, "threads": 1, "options": {}}


def load(process: Process, name: str) -> dict:
    return process.ask("load", timeout_s=60, loader=fake_engines.engine(name).loader, job=job())


def test_environment_has_equal_threads_and_no_tuning_from_outside(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("OPENBLAS_L2_SIZE", "512")
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    monkeypatch.setenv("KEPT", "yes")
    environ = worker_environ(3)
    assert not [name for name in environ if name.startswith("OPENBLAS_")]
    assert environ["OMP_NUM_THREADS"] == environ["MKL_NUM_THREADS"] == "3"
    assert "OMP_WAIT_POLICY" not in environ
    assert environ["KEPT"] == "yes"


def test_a_core_type_asked_for_is_the_only_openblas_variable(monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "7")
    environ = worker_environ(1, coretype="Haswell")
    assert {name: value for name, value in environ.items() if name.startswith("OPENBLAS_")} == {
        "OPENBLAS_CORETYPE": "Haswell"
    }


def test_one_instruction_set_holds_every_library(monkeypatch):
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "ALL")
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "avx512")
    assert not {"ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "NPY_DISABLE_CPU_FEATURES"} & worker_environ(1).keys()
    environ = worker_environ(1, isa="avx2")
    assert (environ["ONEDNN_MAX_CPU_ISA"], environ["ATEN_CPU_CAPABILITY"]) == ("AVX2", "avx2")
    assert environ["OPENBLAS_CORETYPE"] == "Haswell"


def test_what_libraries_print_does_not_disturb_the_answers():
    with Process(worker_environ(1)) as process:
        start = time.perf_counter()
        answer = load(process, "npresnet")
        assert fake_engines.LOADING_S <= answer.pop("load_s") <= time.perf_counter() - start
        assert answer == {}
        assert process.ask("info", timeout_s=60)["versions"] == fake_engines.VERSIONS


def test_an_exception_comes_back_without_paths():
    with Process(worker_environ(1)) as process, pytest.raises(WorkerError, match=r"^OSError: .*secret\.bin") as problem:
        load(process, "raises")
    assert "/" not in str(problem.value)


def test_a_dead_worker_says_how_it_died():
    with Process(worker_environ(1)) as process:
        with pytest.raises(WorkerDiedError, match="ended with exit code 3: out of luck"):
            load(process, "dies_loading")
        with pytest.raises(WorkerError, match="ended already"):
            process.ask("info", timeout_s=5)


def test_a_stuck_worker_is_given_up_in_time(tmp_path):
    import numpy as np

    np.save(tmp_path / "images.npy", np.zeros((8, 3, 4, 4), np.float32))
    with Process(worker_environ(1)) as process:
        load(process, "hangs")
        start = time.monotonic()
        with pytest.raises(WorkerHungError, match=r"no answer within 0\.5 s"):
            process.ask("check", timeout_s=0.5, images=str(tmp_path / "images.npy"), save_to=str(tmp_path / "x.npy"))
        assert time.monotonic() - start < 30


LEAVES_A_CHILD = """
import os, subprocess, sys
print("one", "two", "three", sep="\\n", file=sys.stderr)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
os._exit(4)
"""


def test_a_worker_whose_child_holds_its_pipe_is_dead_all_the_same(tmp_path, monkeypatch):
    (tmp_path / "leaves_a_child.py").write_text(LEAVES_A_CHILD)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with Process(worker_environ(1), module="leaves_a_child", last_lines=2) as process:
        start = time.monotonic()
        with pytest.raises(WorkerDiedError, match=r"^ended with exit code 4: two; three$"):
            process.ask("anything", timeout_s=50)
        assert time.monotonic() - start < 30


def test_the_end_of_the_parent_ends_the_worker():
    import subprocess

    done = subprocess.run(
        [sys.executable, "-m", "npresnet.bench.worker"],
        input=json.dumps({"do": "info"}) + "\n",
        env=worker_environ(1),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "no engine is loaded" in json.loads(done.stdout)["error"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no such file: '/home/me/x/model.onnx'", "no such file: 'model.onnx'"),
        (r"cannot open C:\Users\me\model.onnx now", "cannot open model.onnx now"),
        ("12 ms/img, 3/4 done", "12 ms/img, 3/4 done"),
        ("x" * 400, "x" * 299 + "…"),
    ],
)
def test_without_paths(text, expected):
    assert without_paths(text) == expected
