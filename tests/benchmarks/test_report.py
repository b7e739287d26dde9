from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.kit.script import RESULTS
from tests.bench.entries import layers_case

SCRIPT = report.__file__
CPU = {
    "kind": "cpu",
    "date": "2026-01-31",
    "command": "python benchmarks/vs_peers.py --models resnet18",
    "coretype": None,
    "threads": 2,
    "machine": {
        "cpu": "Zilog Z80",
        "cpu_family_model": "",
        "cpus": 2,
        "flags": [],
        "system": "CP/M",
        "python": "3.12.1",
    },
    "cases": [
        {
            "model": "resnet18",
            "batch": 1,
            "engines": {
                "npresnet": {"engine": "npresnet", "status": "ok", "median_ms": 7.25, "p25_ms": 7.0, "p75_ms": 8.0},
                "torch": {"engine": "torch", "status": "ok", "median_ms": 13.0, "p25_ms": 12.0, "p75_ms": 14.0},
            },
            "ratios": {"torch": {"ratio": 1.79, "lowest": 1.7, "highest": 1.9}},
        }
    ],
}
COLD = {
    **{key: CPU[key] for key in ("date", "coretype", "threads", "machine")},
    "kind": "coldstart",
    "command": "python benchmarks/coldstart.py",
    "model": "resnet18",
    "programs": {"npresnet.npz": {"title": "npresnet", "status": "ok", "median_ms": 99, "p25_ms": 98, "p75_ms": 101}},
}
PAGE = f"# Title\n\nbefore\n\n{report.START}\nold figures\n{report.END}\n\nafter\n"


def sketch(entry: dict, path: Path) -> None:
    path.write_text(f"a picture of {entry['kind']} {entry['coretype']}")


@pytest.fixture
def files(tmp_path, monkeypatch) -> list[str]:
    """Arguments of report.main for a page and results of one's own; its pictures take no matplotlib."""
    pictures = {kind: (path, what, sketch) for kind, (path, what, _) in report.PICTURES.items()}
    monkeypatch.setattr(report, "PICTURES", pictures)
    (tmp_path / "results").mkdir()
    (tmp_path / "performance.md").write_text(PAGE, encoding="utf-8")
    keep(tmp_path, "cpu-z80-2026-01-31", CPU)
    keep(tmp_path, "coldstart-z80-2026-01-31", COLD)
    ladder = f"{report.LADDER_START}\nold\n{report.LADDER_END}\n"
    (tmp_path / "kernels.md").write_text(ladder, encoding="utf-8")
    paths = {"--results": "results", "--page": "performance.md", "--kernels-readme": "kernels.md"}
    return [word for name, path in paths.items() for word in (name, str(tmp_path / path))]


def keep(folder: Path, name: str, entry: dict) -> None:
    (folder / "results" / f"{name}.json").write_text(json.dumps(entry), encoding="utf-8")


def test_figures_stand_with_machine_and_command_and_the_rest_is_untouched(files, tmp_path):
    assert report.main(files) == 0
    text = (tmp_path / "performance.md").read_text(encoding="utf-8")
    assert text.startswith(PAGE.partition(report.START)[0])
    assert text.endswith(PAGE.partition(report.END)[2])
    assert "old figures" not in text
    assert "| resnet18, batch 1 | 7.25 (7.00-8.00) | 13.00 (12.00-14.00) |" in text
    assert "Made by `python benchmarks/vs_peers.py --models resnet18`. Zilog Z80, 2 CPUs, CP/M" in text
    assert "| npresnet | 99 (98-101) |  | 1.00 |" in text


def test_a_second_run_changes_nothing(files, tmp_path):
    assert report.main([*files, "--check"]) == 1
    report.main(files)
    once = (tmp_path / "performance.md").read_text(encoding="utf-8")
    assert report.main([*files, "--check"]) == 0
    report.main(files)
    assert (tmp_path / "performance.md").read_text(encoding="utf-8") == once


def test_the_newest_file_of_each_kind_and_core_type_counts(files, tmp_path):
    older, haswell = copy.deepcopy(CPU), copy.deepcopy(CPU)
    older |= {"date": "2025-12-31", "command": "an old command"}
    haswell |= {"date": "2025-11-30", "coretype": "Haswell", "command": "a command with Haswell"}
    keep(tmp_path, "cpu-z80-a", older)
    keep(tmp_path, "cpu-z80-haswell", haswell)
    report.main(files)
    text = (tmp_path / "performance.md").read_text(encoding="utf-8")
    assert "an old command" not in text
    assert "a command with Haswell" in text
    assert "vs_peers.py --models resnet18" in text


def test_a_race_in_which_all_were_held_stands_beside_the_other(files, tmp_path):
    held = {**copy.deepcopy(CPU), "isa": "avx2", "command": "a command with --isa"}
    engines = held["cases"][0]["engines"]
    engines["onnxruntime"] = {"engine": "onnxruntime", "status": "free", "reason": "nothing holds it"}
    engines["npresnet"]["instructions"] = {"OpenBLAS": "Haswell"}
    keep(tmp_path, "cpu-z80-avx2", held)
    report.main(files)
    text = (tmp_path / "performance.md").read_text(encoding="utf-8")
    assert "vs_peers.py --models resnet18" in text
    section = text.partition("each engine's process**, every engine held to AVX2")[2]
    assert "Every engine was held to AVX2, and says itself what it uses. npresnet: OpenBLAS Haswell." in section
    assert "ONNX Runtime: left out (nothing holds it)" in section
    assert "| ONNX Runtime |" not in section.partition("\n\n**")[0]


def test_a_race_on_a_processor_without_avx512_stands_beside_the_other(files, tmp_path):
    """The newest of each; what one reaches is no peak of the other, also of the same name."""

    def race(date, *flags, model="", peak=0.0):
        machine = {**CPU["machine"], "flags": flags, "cpu_family_model": model}
        command = f"a race of {date}"
        keep(tmp_path, f"cpu-{date}", {**CPU, "date": date, "machine": machine, "command": command,
                                       "gemm_peak_gflops": peak})  # fmt: skip

    race("2026-03-01", "fma", "avx2", model="family 25", peak=60.0)
    race("2026-03-02", "fma", "avx2", model="family 25", peak=50.0)
    race("2026-03-03", "fma", "avx2", "avx512f", model="family 26", peak=200.0)
    entries = report.with_best_peak(report.newest(tmp_path / "results"))
    assert {entry["date"]: entry["gemm_peak_gflops"] for entry in entries if entry["kind"] == "cpu"} == {
        "2026-03-02": 50.0,
        "2026-03-03": 200.0,
    }
    report.main(files)
    text = (tmp_path / "performance.md").read_text(encoding="utf-8")
    other, ours = text.split("each engine's process**, on a processor without AVX-512")
    assert ("a race of 2026-03-03" in other, "a race of 2026-03-02" in ours, "2026-03-01" in text) == (
        True,
        True,
        False,
    )


def layers_entry(**more) -> dict:
    about = {key: CPU[key] for key in ("date", "coretype", "machine")}
    return {**about, "kind": "layers", "command": "python benchmarks/layers.py", "cases": [layers_case()], **more}


def test_layers_stand_in_the_page_with_their_picture(files, tmp_path):
    keep(tmp_path, "layers-z80", layers_entry())
    keep(tmp_path, "layers-z80-haswell", layers_entry(coretype="Haswell"))
    report.main(files)
    text = (tmp_path / "performance.md").read_text(encoding="utf-8")
    assert text.count("| resnet18, batch 8 | 11.00 | 10.00 | 1.00 | 7.00 | 63.6 | 64% |") == 2
    assert "step by step**, OpenBLAS asked for its core type Haswell" in text
    default, haswell = text.index("one thread, step by step**\n"), text.index("step by step**, OpenBLAS")
    for kind in ("cpu", "layers"):
        assert text.count(report.picture_link(kind)) == 1
    assert default < text.index(report.picture_link("layers")) < haswell


def test_the_floor_is_of_the_largest_peak_that_was_seen_of_that_core_type(files, tmp_path):
    """One busy moment, in which less was measured, moves no floor."""
    cases = [{**CPU["cases"][0], "threads": 2, "macs": 1_000_000_000}]
    keep(tmp_path, "cpu-z80-2026-01-31", {**CPU, "gemm_peak_gflops": 50.0, "cases": cases})
    keep(tmp_path, "layers-z80", layers_entry())
    report.main(files)
    text = (tmp_path / "performance.md").read_text(encoding="utf-8")
    assert "at the 100 GFLOP/s a thread" in text
    assert "| 10.00 |" in text, "2 GFLOP on two threads of 100 GFLOP/s"


def ladder_entry(device: str) -> dict:
    figures = {"ms": 2.5, "gflops": 94.0, "of_peak": 0.5, "gb_per_s": 3.0, "of_bandwidth": None, "error": 1e-7}
    step = {"name": "tiled", "idea": "", "lines": 33, "device": device, "status": "equal", "computed": 1.0, **figures}
    shape = {"x": [1, 64, 56, 56], "out": [1, 64, 56, 56], "weight": [64, 64, 3, 3], "stride": [1, 1], "groups": 1}
    about = {key: CPU[key] for key in ("date", "machine")} | {"kind": "ladder", "command": "npresnet ladder --json"}
    layer = {"model": "resnet18", "layer": "layer1.0.conv1", "image": "cat.jpg", "shape": shape, "macs": 1, "blas": []}
    return {**about, **layer, "gemm_peak_gflops": 100.0, "bandwidth_gb_per_s": 9.0, "steps": [step]}


@pytest.mark.parametrize(("device", "on_gpu"), [("NVIDIA H200", True), ("CPU, one thread", False)])
def test_a_ladder_stands_in_the_page_and_a_gpu_s_with_the_kernels(files, tmp_path, device, on_gpu):
    keep(tmp_path, "ladder-z80", ladder_entry(device))
    report.main(files)
    text = (tmp_path / "performance.md").read_text(encoding="utf-8")
    assert f"| tiled | 2.5 | 94 | 50.0% | 3 |  | 1.0e-07 | 33 | equal | {device} |" in text
    told = (tmp_path / "kernels.md").read_text(encoding="utf-8")
    assert ("| tiled | 2.5 |" in told, "Nothing has been measured" in told) == (on_gpu, not on_gpu)
    assert report.main([*files, "--check"]) == 0


def test_a_gpu_report_has_a_page_of_its_own(files, tmp_path):
    keep(tmp_path, "gpu-h200", {"kind": "gpu", "date": "2026-02-01"})
    assert report.main(files) == 0


def test_pictures_show_the_default_core_type_and_are_drawn_beside_the_page(files, tmp_path):
    haswell = {**copy.deepcopy(CPU), "coretype": "Haswell", "date": "2026-02-01"}
    keep(tmp_path, "cpu-z80-haswell", haswell)
    report.main(files)
    assert (tmp_path / "speed-throughput.svg").read_text() == "a picture of cpu None"
    (tmp_path / "results" / "cpu-z80-2026-01-31.json").unlink()
    report.main(files)
    assert (tmp_path / "speed-throughput.svg").read_text() == "a picture of cpu Haswell"
    assert not (tmp_path / "speed-layers.svg").exists()


def test_a_check_needs_no_matplotlib_but_the_pictures(files, tmp_path):
    report.main(files)
    program = "import sys; sys.modules['matplotlib'] = None; import runpy; sys.argv = sys.argv[1:]; "
    program += "runpy.run_path(sys.argv[0], run_name='__main__')"
    command = [sys.executable, "-c", program, SCRIPT, *files]
    assert subprocess.run([*command, "--check"], capture_output=True, check=False).returncode == 0
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "its pictures are not" in done.stderr
    (tmp_path / "speed-throughput.svg").unlink()
    assert subprocess.run([*command, "--check"], capture_output=True, check=False).returncode == 1


def test_missing_markers_are_refused_and_nothing_is_written(files, tmp_path):
    (tmp_path / "performance.md").write_text("no markers", encoding="utf-8")
    with pytest.raises(SystemExit, match="speed:start"):
        report.main(files)
    assert (tmp_path / "performance.md").read_text(encoding="utf-8") == "no markers"


def test_the_results_that_are_kept_make_a_report():
    sections = [report.section(entry) for entry in report.newest(RESULTS)]
    assert all("Made by `python benchmarks/" in text or "Made by `npresnet ladder" in text for text in sections)


def test_the_page_says_what_the_newest_results_say():
    done = subprocess.run([sys.executable, SCRIPT, "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_newer_race_of_other_families_stands_beside_torchvision_s(files, tmp_path):
    other = copy.deepcopy(CPU)
    other["date"] = "2026-03-01"
    other["cases"][0]["model"] = "seresnet50"
    keep(tmp_path, "families", other)
    assert report.main(files) == 0
    text = (tmp_path / "performance.md").read_text(encoding="utf-8")
    assert "**Inference, and memory of each engine's process**\n" in text
    assert "**Inference, and memory of each engine's process**: seresnet50\n" in text
    assert text.index("resnet18, batch 1") < text.index("seresnet50, batch 1")
