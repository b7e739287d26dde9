"""Paths that this user cannot reach: a folder on the way may not be searched, so nothing tells whether they exist."""

from __future__ import annotations

import os

from npresnet.system.text import visible


def unreachable(path: str) -> str:
    """Why the user cannot reach it, a sentence without its subject; "" for what can be reached or does not exist."""
    try:
        os.stat(path)
    except PermissionError:
        return f"cannot be reached by this user: {_closed_folder(path)} may not be searched; check its permissions"
    except (OSError, ValueError):
        pass
    return ""


def may_list(folder: str) -> bool:
    """Whether this user may list it; False where it cannot be reached."""
    try:
        with os.scandir(folder or os.curdir):
            return True
    except OSError:
        return False


def _closed_folder(path: str) -> str:
    """The last folder on the way that can be looked at: what lies in it cannot."""
    here = os.path.realpath(path) if os.path.islink(path) else path
    while parent := os.path.dirname(here):
        if parent == here or _can_be_looked_at(parent):
            return f"the folder {visible(parent)!r}"
        here = parent
    return "the current folder"


def _can_be_looked_at(folder: str) -> bool:
    try:
        os.stat(folder)
    except OSError:
        return False
    return True
