from __future__ import annotations

import pytest

from benchmarks.gpu.ceilings import ceilings
from tests.benchmarks.gpu.entry import ENTRY


def test_ceilings_are_the_best_that_anybody_reached():
    found = ceilings(ENTRY)
    assert found.flops == {"float16": 500e12}
    assert found.bytes_per_s == 4e12
    assert found.floor_ms("float16", 1e12, 1.0) == pytest.approx(2.0)  # bound by arithmetic
    assert found.floor_ms("float16", 1.0, 8e9) == pytest.approx(2.0)  # by memory
    assert ceilings({"stages": {}}) is None
