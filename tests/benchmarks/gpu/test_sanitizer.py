from __future__ import annotations

import types

import pytest

from benchmarks.gpu import calls, exact, exact_stem, sanitizer
from benchmarks.gpu.bench import Bench
from tests.emulator import emulator
from tests.emulator.cupy_stand_in import CupyStandIn


@pytest.mark.parametrize(
    ("told", "finding"),
    [
        (f"{sanitizer.PASSED}\n========= ERROR SUMMARY: 0 errors\n", {"errors": 0}),
        (f"{sanitizer.PASSED}\n========= RACECHECK SUMMARY: 0 hazards displayed\n", {"errors": 0}),
        ("========= Error: no device\nPermission denied\n", {"absent": "it does not work here: Permission denied"}),
        ("", {"absent": "it does not work here: it said nothing"}),
    ],
)
def test_sanitizer_s_last_words(told, finding):
    assert sanitizer.verdict(told) == finding


MEMCHECK = """\
========= COMPUTE-SANITIZER
========= Invalid __global__ write of size 16 bytes
=========     at conv2d_wgmma_tma_128x64+0x1230
{end}========= ERROR SUMMARY: 2 errors
"""


@pytest.mark.parametrize("end", [f"{sanitizer.PASSED}\n", "DeviceError: an illegal memory access\n", ""])
def test_sanitizer_s_errors_are_a_problem_however_the_program_ended(end):
    found = sanitizer.verdict(MEMCHECK.format(end=end))
    assert found == {"errors": 2, "problem": "2 errors, the first: Invalid __global__ write of size 16 bytes"}


REPORTED = MEMCHECK.split("{end}")[0]


@pytest.mark.parametrize(
    ("report", "first"),
    [
        (REPORTED, "Invalid __global__ write of size 16 bytes"),
        (REPORTED.replace("at conv2d", "at 0x90 in conv2d"), "Invalid __global__ write of size 16 bytes"),
        (
            "========= Barrier error detected. Divergent threads\n=========     by thread (0,0,0) in block (0,0,0)\n",
            "Barrier error detected. Divergent threads",
        ),
    ],
)
def test_what_was_reported_counts_where_the_tool_died_before_its_summary(report, first):
    found = sanitizer.verdict(f"========= COMPUTE-SANITIZER\n{report}Killed\n")
    assert found == {"problem": f"it ended before it had counted; it has told: {first}"}


def test_a_tool_that_lost_track_has_checked_nothing():
    told = "========= Internal Sanitizer Error: out of memory, tracking disabled\n"
    found = sanitizer.verdict(f"{told}{sanitizer.PASSED}\n========= ERROR SUMMARY: 0 errors\n")
    assert found == {"absent": "it does not work here: Internal Sanitizer Error: out of memory, tracking disabled"}
    found = sanitizer.verdict(told + MEMCHECK.format(end=""))
    assert found["errors"] == 2


def test_hazards_are_a_problem():
    told = "========= Race reported between Write and Read\n========= RACECHECK SUMMARY: 1 hazard displayed (1 error)\n"
    assert sanitizer.verdict(told)["problem"] == "1 errors, the first: Race reported between Write and Read"


def test_a_program_that_fails_by_itself_is_a_problem():
    told = "AssertionError: conv2d_mma 64x64s4: y: 2 bytes beside it were written\n========= ERROR SUMMARY: 0 errors\n"
    found = sanitizer.verdict(told)
    assert found["errors"] == 0
    assert "the program failed under it: AssertionError: conv2d_mma" in found["problem"]


class Subprocess:
    """Stands for the module: the tool ends as it is told to."""

    def __init__(self, how):
        self.how, self.commands = how, []

    def run(self, command, **options):
        self.commands.append(command)
        return self.how(command, options)


def check(monkeypatch, how):
    monkeypatch.setattr(sanitizer, "find", lambda: "compute-sanitizer")
    fake = Subprocess(how)
    monkeypatch.setattr(sanitizer, "subprocess", fake)
    gpu = types.SimpleNamespace(device="cuda:1")
    (case,) = sanitizer.cases(Bench(gpu, None, quick=True, precisions=["float16"]))
    return case.measure(), fake.commands


def test_the_tool_runs_on_the_device_that_was_asked_for(monkeypatch):
    done = types.SimpleNamespace(stdout=f"{sanitizer.PASSED}\n========= ERROR SUMMARY: 0 errors\n", stderr="")
    finding, (command,) = check(monkeypatch, lambda command, options: done)
    assert finding == {"errors": 0}
    assert command[:3] == ["compute-sanitizer", "--tool", "memcheck"]
    assert command[-2:] == ["float16", "cuda:1"]


def test_a_tool_that_does_not_end_ends_with_the_worker_and_all_that_it_started(monkeypatch):
    def hang(command, options):
        assert "timeout" not in options  # which ends the tool alone: its program would go on, beside later cases
        assert not options.get("start_new_session")
        return types.SimpleNamespace(stdout="", stderr="")

    check(monkeypatch, hang)
    (stage,) = (stage for stage in calls.STAGES if stage.name == "sanitizer")
    assert [stage.kin(name) for name in ("memcheck float16", "memcheck float32")] == ["memcheck"] * 2


@emulator.needed
def test_its_program_runs_every_kind_of_kernel(monkeypatch, tmp_path, capsys):
    stand_in = CupyStandIn(capability=90, multiprocessors=4).install(monkeypatch, tmp_path)
    monkeypatch.setattr(sanitizer, "NETWORKS", {"cifar_resnet8": 16})
    tiny = {**exact.TINY, "3x3 in groups": exact.TINY["3x3 + residual"]._replace(has_residual=False)}
    shape = tiny["3x3 in groups"].shape._replace(groups=8)
    tiny["3x3 in groups"] = tiny["3x3 in groups"]._replace(shape=shape)
    monkeypatch.setattr(exact, "LAYERS", tiny)
    small = exact_stem.shape_of(Bench(None, None, emulated=True))
    monkeypatch.setattr(exact_stem, "shape_of", lambda bench: small)
    try:
        sanitizer.main("float16", "cuda")
    finally:
        stand_in.forget()
    assert capsys.readouterr().out == f"{sanitizer.PASSED}\n"
    for part in ("wgmma_tma", "conv2d_wgmma", "grouped", "_split", "stem", "linear", "pool"):
        assert any(part in kernel for kernel in stand_in.kernels), part
