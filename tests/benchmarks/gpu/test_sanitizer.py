from __future__ import annotations

import pytest

from benchmarks.gpu import sanitizer


@pytest.mark.parametrize(
    ("told", "finding"),
    [
        ("the logits are finite\n========= ERROR SUMMARY: 0 errors\n", {"errors": 0}),
        ("the logits are finite\n========= RACECHECK SUMMARY: 0 hazards displayed\n", {"errors": 0}),
        ("========= Error: no device\nPermission denied\n", {"absent": "it does not work here: Permission denied"}),
        ("", {"absent": "it does not work here: it said nothing"}),
    ],
)
def test_sanitizer_s_last_words(told, finding):
    assert sanitizer.verdict(told) == finding


def test_sanitizer_s_errors_are_a_problem():
    told = "========= Invalid __global__ read of size 4\nthe logits are finite\n========= ERROR SUMMARY: 2 errors\n"
    found = sanitizer.verdict(told)
    assert found["errors"] == 2
    assert "Invalid __global__ read" in found["problem"]
