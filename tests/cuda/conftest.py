"""An emulated machine: `gpus(capability=80)` makes `import cupy` the stand-in, for one test."""

from __future__ import annotations

import pytest

from tests.emulator.cupy_stand_in import CupyStandIn


@pytest.fixture
def gpus(monkeypatch, tmp_path):
    """Make the stand-in; after the test no memory may have been written beside."""
    made = []

    def make(**how) -> CupyStandIn:
        made.append(CupyStandIn(**how).install(monkeypatch, tmp_path))
        return made[-1]

    yield make
    for stand_in in made:
        stand_in.check()
        stand_in.forget()
