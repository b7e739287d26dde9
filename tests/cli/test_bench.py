"""npresnet bench."""

from __future__ import annotations

import json
import os

import pytest

import npresnet
from npresnet.bench import run as bench_run
from npresnet.bench.engines import ENGINES, FAST, OURS, installed
from tests.bench.test_tables import MACHINE, engine


@pytest.fixture
def raced(monkeypatch):
    """What the command asks `npresnet.bench.run.run` for; the answer is one case, in which `torch` may be told off."""
    asked: dict = {"torch": engine(20.0)}

    def run(race, settings, *, command, say, keep):
        say("one case is running")
        asked.update(race=race, settings=settings, command=command)
        case = {"model": "resnet18", "batch": 1, "engines": {OURS: engine(10.0), "torch": asked["torch"]}, "ratios": {}}
        entry = {"kind": "cpu", "date": "2026-01-31", "threads": 2, "machine": MACHINE, "cases": [case], "skipped": []}
        for cases in ([], [case]):
            keep({**entry, "cases": cases})
        return entry

    monkeypatch.setattr(bench_run, "run", run)
    return asked


def test_tables_on_stdout_and_progress_on_stderr(run, raced):
    done = run("bench")
    assert done.code == 0
    assert done.out.startswith("ms per image")
    assert done.err == "npresnet: one case is running\n"
    race = raced["race"]
    assert (race.models, race.batches, race.size) == (["resnet18"], [1, 8], 224)
    assert list(race.engines) == installed()
    assert raced["settings"].threads >= 1
    assert not raced["settings"].options


def test_everything_that_is_said_is_passed_on(run, raced, tmp_path):
    words = "bench resnet34 dir/mine.pth --batches 2 4 --threads 3 --engines torch --rounds 5 --seconds 0.5 --size 64"
    assert run(*words.split(), "--isa", "avx2").code == 0
    race, settings = raced["race"], raced["settings"]
    assert (race.models, race.batches, race.engines) == (["resnet34", "dir/mine.pth"], [2, 4], ["torch"])
    assert (settings.threads, settings.rounds, settings.seconds, settings.isa) == (3, 5, 0.5, "avx2")
    assert raced["command"] == (
        "npresnet bench resnet34 mine.pth --batches 2 4 --threads 3 --engines torch --size 64 --rounds 5 --seconds 0.5 "
        "--isa avx2"
    )


def test_the_demo_is_a_weight_file(run, raced):
    """Not the name of an architecture, which would have random weights."""
    assert run("bench", "demo", "resnet18", "--batches", "1", "--engines", OURS).code == 0
    demo, other = raced["race"].models
    assert (npresnet.load(demo).labels[5], other) == ("dog", "resnet18")
    assert raced["command"].startswith("npresnet bench demo resnet18 ")


def test_fast_races_beside_the_default(run, raced):
    assert FAST not in installed()
    run("bench")
    assert FAST not in raced["race"].engines
    for words in (["--fast"], ["--fast", "--engines", "torch"], ["--engines", FAST, "torch"]):
        run("bench", *words)
        assert [found.name for found in raced["race"].chosen()][:2] == [OURS, FAST]
        assert "fast" not in raced["settings"].options  # of the default, which stays what it is
    assert set(installed(fast=True)) <= set(ENGINES)


def test_json_alone_on_stdout_or_in_a_file_beside_the_tables(run, raced, tmp_path):
    alone = run("bench", "--json", "-")
    assert json.loads(alone.out)["kind"] == "cpu"
    assert json.loads(run("bench", "--json").out)["kind"] == "cpu"
    beside = run("bench", "--json", tmp_path / "found.json")
    assert beside.out.startswith("ms per image")
    assert json.loads((tmp_path / "found.json").read_text()) == json.loads(alone.out)


@pytest.mark.skipif(os.name != "posix", reason="named pipes need POSIX")
def test_a_pipe_takes_the_last_figures_and_stays_a_pipe(run, raced, tmp_path):
    pipe = tmp_path / "figures.json"
    os.mkfifo(pipe)
    (tmp_path / "figures.partial").write_text("theirs")
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert run("bench", "--json", pipe).code == 0
        assert len(json.loads(os.read(reader, 100_000))["cases"]) == 1
    finally:
        os.close(reader)
    assert pipe.is_fifo()
    assert (tmp_path / "figures.partial").read_text() == "theirs"
    assert len(list(tmp_path.iterdir())) == 2


def test_an_installed_engine_without_a_time_is_a_failure_and_an_absent_one_is_not(run, raced):
    raced["torch"] = {"engine": "torch", "status": "absent", "reason": "needs torch"}
    assert run("bench").code == 0
    raced["torch"] = {"engine": "torch", "status": "wrong", "reason": "RMS error"}
    assert run("bench").code == 1


@pytest.mark.parametrize("words", [("--batches", "0"), ("--engines", "caffe"), ("--threads", "none")])
def test_wrong_usage(run, raced, words):
    done = run("bench", *words)
    assert (done.code, done.out) == (2, "")
    assert "race" not in raced


def test_layers_of_ones_own_file(run, model_file):
    done = run("bench", "--layers", model_file, "--batch", 2, "--threads", 2, "--size", 32, "--quick", "--json")
    assert done.code == 0
    assert "one thread" in done.err
    entry = json.loads(done.out)
    assert (entry["kind"], entry["threads"]) == ("layers", 1)
    assert entry["command"].startswith("npresnet bench small.npz --layers --quick --batches 2 --threads 1")
    (case,) = entry["cases"]
    assert (case["model"], case["batch"], case["size"]) == ("small.npz", 2, 32)
    assert str(model_file.parent) not in done.out


def test_layers_with_fast_time_that_mode(run, monkeypatch):
    asked = {}

    def run_layers(race, settings, *, command, **_):
        asked.update(race=race, options=settings.options, command=command)
        return {"kind": "layers", "cases": [], "skipped": [{"model": "resnet18", "reason": "not today"}]}

    monkeypatch.setattr(bench_run, "run_layers", run_layers)
    assert run("bench", "--layers", "--fast").code == 1
    assert asked["options"] == {"fast": True}
    assert asked["race"].batches == [1]
    run("bench", "--layers")
    assert asked["options"] == {}
    run("bench", "--layers", "--device", "cuda:1", "--dtype", "float16")
    assert asked["options"] == {"device": "cuda:1", "dtype": "float16"}
    assert asked["command"].endswith("--device cuda:1 --dtype float16")


def test_an_unknown_model_is_said_and_fails(run):
    done = run("bench", "resnet19", "--layers", "--quick")
    assert done.code == 1
    assert "resnet19 left out: ArchitectureError" in done.err
    assert done.out == "nothing was measured\n"
