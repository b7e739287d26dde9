"""The maps of packages: a docstring that leads a reader through a package's modules names all of them."""

from __future__ import annotations

import importlib
import pkgutil
import re

import pytest

WHOLE = (
    *("benchmarks", "benchmarks.gpu", "benchmarks.kit", "npresnet.arch", "npresnet.cli", "npresnet.cpu.compiler"),
    *("npresnet.cpu.runtime", "npresnet.cuda.compiler", "npresnet.cuda.runtime", "npresnet.model", "npresnet.plan"),
    "npresnet.serve",
)


@pytest.mark.parametrize("package", WHOLE)
def test_a_map_names_every_module(package):
    found = importlib.import_module(package)
    modules = {module.name for module in pkgutil.iter_modules(found.__path__) if not module.ispkg}
    assert len(modules) > 4
    assert modules <= set(re.findall(r"\w+", found.__doc__)), "names that the package's docstring lacks"
