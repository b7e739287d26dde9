"""PyInstaller finds the hook, which leaves out what is imported for comparisons only."""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path

import pytest

from npresnet import _pyinstaller
from tests.support.checkout import REPOSITORY
from tests.test_imports import RUN_TIME, SERVE, imported, parse, third_party

tomllib = pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli")
# where they are installed: a GPU, Keras's files, HEIC, Parquet, a server, completion; the hook itself
WANTED = SERVE | {"PyInstaller", "argcomplete", "cupy", "h5py", "pillow_heif", "pyarrow"}
HOOK = REPOSITORY / "npresnet" / "_pyinstaller" / "hook-npresnet.py"


def test_the_entry_point_leads_to_the_hook():
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    module, _, name = settings["project"]["entry-points"]["pyinstaller40"]["hook-dirs"].partition(":")
    (folder,) = getattr(importlib.import_module(module), name)()
    assert Path(folder, "hook-npresnet.py") == HOOK
    assert HOOK.is_file()
    assert module == _pyinstaller.__name__


def test_every_framework_is_left_out():
    assigned = {
        node.targets[0].id: node.value
        for node in parse(HOOK).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    excluded = set(ast.literal_eval(assigned["excludedimports"]))
    modules = [path for path in (REPOSITORY / "npresnet").rglob("*.py") if path != HOOK]
    found = set().union(*(third_party(imported(parse(path))) for path in modules)) - RUN_TIME
    assert "torch" in found
    assert found - excluded - WANTED == set()
    assert excluded.isdisjoint(RUN_TIME | WANTED)
