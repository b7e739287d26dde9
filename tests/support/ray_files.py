"""A file system in which reading some files ends the process that reads, by SIGKILL, as the kernel does for memory."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from fsspec.implementations.local import LocalFileSystem
from pyarrow.fs import FSSpecHandler, PyFileSystem


class Deadly(LocalFileSystem):
    """Files called "once..." end the first process that reads them, "always..." each; every death leaves a file."""

    cachable = False

    def __init__(self, graves: str):
        super().__init__()
        self.graves = graves

    def _open(self, path, mode="rb", block_size=None, **kwargs):
        name = os.path.basename(path)
        grave = Path(self.graves) / name
        if "r" in mode and (name.startswith("always") or (name.startswith("once") and not grave.exists())):
            with grave.open("a") as file:
                file.write("x")
            os.kill(os.getpid(), signal.SIGKILL)
        return super()._open(path, mode, block_size, **kwargs)

    def __reduce__(self):
        return Deadly, (self.graves,)


def deadly(graves: Path) -> PyFileSystem:
    return PyFileSystem(FSSpecHandler(Deadly(str(graves))))
