"""Progress bars: tqdm's, without its monitor.

The monitor is a thread of `threading`, whose start Ctrl-C can break ("release unlocked lock"), and which tqdm warns
about where the system refuses it. It redraws bars that are seldom updated; ours are updated all the time.
"""

from __future__ import annotations

from typing import Any


def progress_bar(**options: Any) -> Any:
    """A `tqdm.tqdm` with these options."""
    from tqdm import tqdm

    class Bar(tqdm):  # type: ignore[misc, type-arg, unused-ignore]
        monitor_interval = 0

    return Bar(**options)
