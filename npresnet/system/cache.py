"""npresnet's cache folder: downloads, prepared weights, and this machine's table of choices."""

from __future__ import annotations

import os
import sys
from pathlib import Path

CACHE_VARIABLE = "NPRESNET_CACHE"


def cache_folder(system: str = sys.platform) -> Path:
    """NPRESNET_CACHE, or npresnet's folder in the user's cache folder."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(os.path.expanduser(named))  # unlike Path.expanduser, keeps an unknown "~user"
    if system == "linux":  # as platformdirs does, whose import takes 8 ms
        cache = os.environ.get("XDG_CACHE_HOME", "")
        return Path(cache if os.path.isabs(cache) else "~/.cache").expanduser() / "npresnet"
    import platformdirs

    return Path(platformdirs.user_cache_dir("npresnet", appauthor=False))
