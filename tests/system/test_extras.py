"""What is said where a package of an extra is absent, or there but broken."""

from __future__ import annotations

import sys

import pytest

from npresnet.errors import DeviceError
from npresnet.system.extras import needing


def test_an_absent_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DeviceError) as caught, needing("Parquet", "npresnet[parquet]", "; or use CSV"):
        import pyarrow.parquet  # noqa: F401
    assert str(caught.value) == (
        "Parquet needs the package pyarrow, which is not installed: "
        "python -m pip install 'npresnet[parquet]'; or use CSV"
    )


def test_a_package_that_does_not_work(tmp_path, monkeypatch):
    (tmp_path / "broken.py").write_text("raise ImportError('libbroken.so.1: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    told = r"^x needs what does not work here \(libbroken.*\): python -m pip install a b$"
    with pytest.raises(DeviceError, match=told), needing("x", "a b"):
        import broken  # noqa: F401


def test_a_fault_of_our_own_is_no_matter_of_packages():
    with pytest.raises(ImportError, match="nowhere"), needing("x", "npresnet[x]"):
        import npresnet.nowhere  # noqa: F401
