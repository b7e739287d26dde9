"""A folder of photos to labels, whole processes: do all give the same labels, and the table."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import npresnet
from benchmarks.kit.cold import ColdResult
from npresnet import arch, weights
from npresnet.bench.random_weights import randomise_batch_norms
from npresnet.bench.table import Table
from npresnet.bench.tables import NO_TIME

DIFFERENT = 0.01  # the share of labels in which an engine may differ: its sums are rounded in another order
LOGIT = 1e-3  # and by how much the best logit of a photo, relative to the largest of all

SOME = 32

Entry = dict[str, Any]
Answers = dict[str, tuple[int, float]]  # file name -> index and logit of the best class


def write_model(name: str, folder: Path, seen: Path) -> Path:
    """A weight file with random weights, for which not all photos look alike.

    A random network's logits differ more between classes than between photos, so that one class would win everywhere;
    here the bias of the classifier takes off their mean over some of the photos.
    """
    tensors = dict(randomise_batch_norms(arch.random_tensors(name, seed=0), seed=0))
    weights.write_npz(folder / "model.npz", tensors, {"arch": name})
    with npresnet.load(folder / "model.npz") as model:
        some = [model.preprocess(path) for path in sorted(seen.glob("*.jpg"))[:SOME]]
        tensors["fc.bias"] = tensors["fc.bias"] - model(np.concatenate(some)).mean(0)
    if importlib.util.find_spec("torch") is None:
        weights.write_npz(folder / "model.npz", tensors, {"arch": name})
        return folder / "model.npz"
    import torch

    torch.save({key: torch.from_numpy(np.array(value)) for key, value in tensors.items()}, folder / "model.pth")
    return folder / "model.pth"


def judge(results: Sequence[ColdResult]) -> None:
    """Refuse programs whose answers are not those of the first one, npresnet; those with draft=True may differ."""
    expected = answers(results[0])
    for result in results[1:]:
        if result.status == "ok" and not may_differ(result):
            problem = _problem(expected, answers(result))
            if problem:
                result.status, result.reason = "wrong", problem


def may_differ(result: ColdResult) -> bool:
    """Whether the program preprocesses in another way, as its title says."""
    return "draft" in result.program.title


def answers(result: ColdResult) -> Answers:
    """What a program printed last; nothing where it did not run."""
    return {} if not result.runs else {name: (i, v) for name, (i, v) in json.loads(result.runs[-1].printed).items()}


def differences(expected: Answers, found: Answers) -> Entry:
    """How many labels differ, and the largest difference of a best logit relative to the largest logit."""
    largest = max(abs(logit) for _, logit in expected.values())
    return {
        "different": sum(found[name][0] != index for name, (index, _) in expected.items()),
        "logit": float(np.max([abs(found[name][1] - logit) for name, (_, logit) in expected.items()])) / largest,
    }


def table(entry: Mapping[str, Any]) -> Table:
    """Each program: wall time with its middle half, photos a second, CPU time, time / ours, labels that differ."""
    shown = [program for program in entry["programs"].values() if program["status"] != "absent"]
    header = ["from a folder to labels", "wall s", "photos / s", "CPU s", "time / ours", "labels that differ"]
    ours = shown[0].get("median_ms")
    return Table(header, [[program["title"], *_cells(program, entry["photos"], ours)] for program in shown])


def notes(entry: Mapping[str, Any]) -> list[str]:
    """The photos, and a sentence for each program without a time."""
    about = (
        f"{entry['photos']} JPEG photos of {entry['megapixels'][0]:g} to {entry['megapixels'][1]:g} megapixels, "
        f"{entry['pixels'] / 1e6 / entry['photos']:.1f} on average, {entry['bytes'] / 1e6:.0f} MB together; "
        f"{entry['model']} with random weights, {entry['distinct']} different labels, batches of 32. A program whose "
        f"labels differed in more than {100 * DIFFERENT:g} % of the photos, or a best logit by more than {LOGIT:g} of "
        "the largest, would have no time; draft=True is not held to that."
    )
    programs = entry["programs"].values()
    lacking = [program for program in programs if program["status"] != "ok"]
    return [about, *(f"{program['title']}: {NO_TIME[program['status']]} ({program['reason']})" for program in lacking)]


def _problem(expected: Answers, found: Answers) -> str:
    if found.keys() != expected.keys():
        return f"it answered for {len(found)} photos, npresnet for {len(expected)}"
    differs = differences(expected, found)
    if differs["different"] > DIFFERENT * len(expected) or not differs["logit"] <= LOGIT:
        return f"{differs['different']} labels differ, and a logit by {differs['logit']:.1e} of the largest"
    return ""


def _cells(program: Mapping[str, Any], photos: int, ours: float | None) -> list[str]:
    if "median_ms" not in program:
        return [NO_TIME[program["status"]], "", "", "", ""]
    low, middle, high = (program[key] / 1e3 for key in ("p25_ms", "median_ms", "p75_ms"))
    times = [f"{middle:.1f} ({low:.1f}-{high:.1f})", f"{photos / middle:.1f}"]
    work = f"{program['cpu_ms'] / 1e3:.1f}" if "cpu_ms" in program else ""
    ratio = f"{program['median_ms'] / ours:.2f}" if ours else ""
    return [*times, work, ratio, str(program["different"])]
