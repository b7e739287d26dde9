"""A mapping that outlives its module, as that of a global model may at the interpreter's end, closes its file."""

from __future__ import annotations

import os

import pytest

from npresnet.system import mapped_file


def test_at_the_interpreters_end(tmp_path, monkeypatch):
    path = tmp_path / "some.bin"
    path.write_bytes(bytes(100))
    with open(path, "rb") as file:
        mapped = mapped_file.MappedFile.of(file.fileno(), str(path))
    descriptor = mapped._descriptor
    os.fstat(descriptor)
    monkeypatch.setattr(mapped_file, "os", None)  # modules lose their names one by one
    del mapped
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
