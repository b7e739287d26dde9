from __future__ import annotations

import pytest

from benchmarks.kit import script
from npresnet.bench import results, torchvision_models


def test_a_command_is_published_without_folders():
    words = ["--image", "/home/me/dog.jpg", "--threads", "2"]
    assert script.command("coldstart", words) == "python benchmarks/coldstart.py --image dog.jpg --threads 2"


def test_all_stands_for_every_classifier_of_torchvision():
    assert script.models(["all"]) == torchvision_models.names()
    assert script.models(["resnet18", "mine.npz"]) == ["resnet18", "mine.npz"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Intel(R) Core(TM) i7-9700 CPU @ 3.00GHz", "intel-core-i7-9700"),
        ("AMD EPYC 9B45 128-Core Processor", "amd-epyc-9b45"),
        ("Apple M2", "apple-m2"),
        ("/", "cpu"),
    ],
)
def test_slug(name, expected):
    assert script.slug(name) == expected


def test_a_results_file_is_named_after_processor_instruction_set_and_day():
    entry = {"machine": {"cpu": "Zilog Z80"}, "isa": "avx2", "date": "2026-01-31"}
    assert script.default_path("cpu", entry) == script.RESULTS / "cpu-zilog-z80-avx2-2026-01-31.json"
    assert script.default_path("cpu", {**entry, "isa": None}).name == "cpu-zilog-z80-2026-01-31.json"


def test_a_results_file_is_read_back_where_there_is_one(tmp_path):
    path = tmp_path / "found.json"
    assert script.read(path) is None
    results.write(path, {"date": "2026-01-31"})
    assert script.read(path) == {"date": "2026-01-31"}
