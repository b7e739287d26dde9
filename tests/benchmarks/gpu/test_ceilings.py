from __future__ import annotations

import types

import pytest

from benchmarks.gpu.bench import Bench
from benchmarks.gpu.ceilings import cases, ceilings
from tests.benchmarks.gpu.entry import ENTRY


def test_ceilings_are_the_best_that_anybody_reached():
    found = ceilings(ENTRY)
    assert found.flops == {"float16": 500e12}
    assert found.bytes_per_s == 4e12
    assert found.floor_ms("float16", 1e12, 1.0) == pytest.approx(2.0)  # bound by arithmetic
    assert found.floor_ms("float16", 1.0, 8e9) == pytest.approx(2.0)  # by memory
    assert ceilings({"stages": {}}) is None


@pytest.mark.parametrize("capability", [80, 100])
def test_what_only_a_hopper_has_is_absent_elsewhere(capability):
    bench = Bench(types.SimpleNamespace(capability=capability, multiprocessors=108), None)
    *_, copies, to_one, products, nodes = cases(bench)
    for case in (copies, to_one, products, nodes):
        (absent,) = case.measure().values()
        assert absent.endswith(f"(Hopper); this GPU has {capability / 10:.1f}"), case.name
