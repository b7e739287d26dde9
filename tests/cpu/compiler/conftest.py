"""Where prepared weights are kept in these tests."""

from __future__ import annotations

import pytest


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NPRESNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NPRESNET_PREPARED")
    return tmp_path / "cache" / "prepared"
