"""The user's own table of choices: written, read back, and ignored where it is malformed."""

from __future__ import annotations

import json

import pytest

from npresnet.bench import tune
from npresnet.cli import main
from npresnet.cpu.compiler import tuning
from npresnet.cpu.kernels.layer import Choice
from npresnet.system import measured

LAYER = "3x3 64->64, 56x56"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NPRESNET_CACHE", str(tmp_path / "cache"))
    tuning.table.cache_clear()
    yield tmp_path / "cache"
    tuning.table.cache_clear()


def test_no_file_is_an_empty_table():
    assert tuning.table() == {}


def test_what_is_saved_is_read_back_and_can_be_taken_back():
    tuning.save({LAYER: Choice("winograd", 2, "gemm"), "other": Choice("direct", 0, "panels")})
    assert tuning.table() == {LAYER: Choice("winograd", 2, "gemm"), "other": Choice("direct", 0, "panels")}
    tuning.save({LAYER: None})
    assert tuning.table() == {"other": Choice("direct", 0, "panels")}


def test_other_machines_entries_stay(folder, monkeypatch):
    tuning.save({LAYER: Choice("direct", 0, "panels")})
    monkeypatch.setattr(tuning, "cpu_name", lambda: "another processor")
    tuning.table.cache_clear()
    assert tuning.table() == {}
    tuning.save({LAYER: Choice("direct", 0, "gemm")})
    assert len(json.loads(tuning.path().read_text())) == 3  # the format and two machines


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"format": 2}', "\x00", "[" * 100_000, '{"format": 1}'],
    ids=["empty", "list", "cut", "another format", "zero", "deep", "nothing in it"],
)
def test_a_file_that_is_no_table_counts_as_none(folder, text):
    folder.mkdir()
    tuning.path().write_text(text)
    assert tuning.table() == {}
    tuning.save({LAYER: Choice("direct", 0, "panels")})
    assert tuning.table() == {LAYER: Choice("direct", 0, "panels")}


@pytest.mark.parametrize(
    "words",
    [[], ["winograd", 4], ["fft", 4, "gemm"], ["winograd", 4.0, "gemm"], ["direct", 0, "loops"], "direct", None, 3],
)
def test_words_that_are_no_choice_are_left_out(words):
    tuning.save({"other": Choice("direct", 0, "panels")})
    whole = json.loads(tuning.path().read_text())
    next(entry for entry in whole.values() if isinstance(entry, dict))[LAYER] = words
    tuning.path().write_text(json.dumps(whole))
    tuning.table.cache_clear()
    assert tuning.table() == {"other": Choice("direct", 0, "panels")}


def test_tune_measures_every_candidate_of_every_layer(capsys):
    """The command, on a small network: every layer once, and only choices that differ from the rules are stored."""
    assert main(["bench", "cifar_resnet20", "--tune", "--quick", "--size", "16"]) == 0
    table = capsys.readouterr().out
    tuned = list(tune.tune_model("cifar_resnet20", 16, rounds=1, known=()))
    layers = [str(entry.layer) for entry in tuned]
    assert len(set(layers)) == len(layers) == 6
    assert all(layer in table for layer in layers)
    assert set(tuning.table()) <= set(layers)
    for entry in tuned:
        assert entry.built_in in [measured.choice for measured in entry.measured]
        assert all(measured.alone_us > 0 and measured.grouped_us > 0 for measured in entry.measured)


def test_without_a_home_there_is_no_table(monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(measured, "cache_folder", homeless)
    assert tuning.table() == {}


def test_a_fused_stem_is_not_measured():
    layers = [str(entry.layer) for entry in tune.tune_model("resnet18", 32, rounds=1, known=())]
    assert not any(layer.startswith("7x7") for layer in layers)
    assert len(layers) == 10  # one of layer1, and a stride, a shortcut and a plain one of each later layer


def test_only_what_is_clearly_faster_is_the_best():
    usual, other = Choice("direct", 0, "gemm"), Choice("direct", 0, "panels")
    for other_us, best in ((98.0, usual), (90.0, other)):
        times = sorted(
            (tune.Measured(usual, 50.0, 50.0), tune.Measured(other, other_us, 0.0)), key=lambda m: m.total_us
        )
        assert tune.Tuned(None, times, usual).best == best
