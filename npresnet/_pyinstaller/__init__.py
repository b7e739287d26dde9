"""PyInstaller asks here, by the entry point `pyinstaller40`, for the folder of `hook-npresnet.py`."""

from __future__ import annotations

import os


def get_hook_dirs() -> list[str]:
    """The folder of the hook."""
    return [os.path.dirname(__file__)]
