"""The GPU report's worker on the emulator, with faults planted into the kernels of some cases.

NPRESNET_TEST_FAULTS, which only this file reads, is JSON: {"stage: case": one of FAULTS}.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from benchmarks.gpu import worker
from npresnet.errors import DeviceError
from tests.emulator import emulator

FAULTS = {
    "hangs": ("conv2d/registers.cu", "  const int group = blockIdx.y, first", "for (volatile int i = 0; i == 0;) {}"),
    "dies": ("stem/registers.cu", "  const int o = blockIdx.y * COLUMNS + 4 * g;", "__builtin_abort();"),
    "is wrong": ("conv2d/tiled.cu", "  if (m >= M || filter >= group_filters) return;", "if (m == 1) sum += 1;"),
    "breaks CUDA": ("conv2d/direct.cu", "", ""),
}


class FaultyWorker(worker.Worker):
    """Measures as the real one does, while the case's fault is planted."""

    def __init__(self) -> None:
        super().__init__()
        self._planted = json.loads(os.environ.get("NPRESNET_TEST_FAULTS", "{}"))
        self._fault, self._usual = "", emulator.run
        emulator.run = self._run

    def measure(self, stage: str, case: str) -> dict[str, Any]:
        self._fault = self._planted.get(f"{stage}: {case}", "")
        return super().measure(stage, case)

    def _run(self, launches: Any, **how: Any) -> None:
        for launch in launches:
            file, old, added = FAULTS.get(self._fault, ("", "", ""))
            if launch.source.file != file:
                self._usual([launch], **how)
            elif not old:
                raise DeviceError("cuda:0 fails: cudaErrorIllegalAddress")
            else:
                self._usual([launch], **how, edits=((old, f"{added}\n{old}"),))


if __name__ == "__main__":
    if os.environ.get("NPRESNET_TEST_NO_CUPY"):
        sys.modules["cupy"] = None  # type: ignore[assignment]
    worker.Worker = FaultyWorker  # type: ignore[misc]
    worker.run(worker.serve)
