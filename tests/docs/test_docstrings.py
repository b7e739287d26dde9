"""Docstrings of public names: their sections name the arguments that there are, and their examples run."""

from __future__ import annotations

import doctest
import inspect
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import npresnet
import npresnet.ray
import npresnet.serve
from tests.support.checkout import REPOSITORY

DATA = REPOSITORY / "npresnet" / "data"


def public() -> dict[str, object]:
    """Functions, classes and their methods by name; those of modules as `labels.read`, `ray.put`, `serve.app`."""
    names = {name: getattr(npresnet, name) for name in npresnet.__all__}
    names |= {"labels.read": npresnet.labels.read}
    names |= {f"ray.{name}": getattr(npresnet.ray, name) for name in npresnet.ray.__all__}
    names |= {f"serve.{name}": getattr(npresnet.serve, name) for name in npresnet.serve.__all__}
    found = {name: value for name, value in names.items() if inspect.isfunction(value) or inspect.isclass(value)}
    for name, kind in [(name, value) for name, value in found.items() if inspect.isclass(value)]:
        methods = dict(inspect.getmembers(kind, inspect.isfunction))
        kept = {key: value for key, value in methods.items() if key == "__call__" or not key.startswith("_")}
        found.update({f"{name}.{key}": value for key, value in kept.items()})
    return found


PUBLIC = public()


def section(docstring: str, name: str) -> str:
    """The text below `name` and its line, up to the next such heading."""
    return re.split(r"\n[^\n]+\n-{3,}\n", f"{docstring}\n".partition(f"\n{name}\n{'-' * len(name)}\n")[2])[0]


def described(docstring: str) -> list[str]:
    """The names of the section Parameters, in order."""
    lines = [line.partition(" : ")[0] for line in section(docstring, "Parameters").splitlines() if line[:1].strip()]
    return [name.lstrip("*") for line in lines for name in line.split(", ")]


def parameters(value: object) -> list[str]:
    """Those of the signature, without what Ray adds to a class that it has run."""
    return [name for name in inspect.signature(value).parameters if name not in ("self", "_ray_trace_ctx")]


@pytest.mark.parametrize("name", [name for name, value in PUBLIC.items() if inspect.isfunction(value)])
def test_parameters_are_those_of_the_signature(name):
    docstring = inspect.getdoc(PUBLIC[name]) or ""
    assert docstring
    if "\nParameters\n----" in docstring:
        assert described(docstring) == parameters(PUBLIC[name])


def test_what_makes_a_predictor_is_its_signature():
    kind = npresnet.ray.Predictor
    assert described(inspect.getdoc(kind)) == parameters(kind)


@pytest.mark.parametrize("name", ["load", "build", "convert", "prepare", "read_state_dict", "labels.read",
                                  "Model.predict", "Model.stream", "Model.__call__", "Model.features",
                                  "ray.put", "ray.predict", "ray.deployment", "serve.app"])  # fmt: skip
def test_what_people_call_first_is_described_in_sections(name):
    docstring = inspect.getdoc(PUBLIC[name])
    assert described(docstring)
    assert re.search(r"\n(Returns|Yields)\n-----", docstring)


@pytest.mark.parametrize("name", ["Model", "Prediction", "Candidate", "Decision", "Preprocess", "serve.Settings"])
def test_attributes_exist(name):
    kind = PUBLIC[name]
    text = section(inspect.getdoc(kind), "Attributes")
    attributes = [line.partition(" : ")[0].strip() for line in text.splitlines() if line[:1].strip()]
    assert len(attributes) >= 3
    instance = npresnet.load("demo") if name == "Model" else None
    known = {*dir(instance if instance is not None else kind), *getattr(kind, "__annotations__", ())}
    assert set(attributes) <= known


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    shutil.copy(DATA / "chelsea.jpg", tmp_path / "cat.jpg")
    shutil.copy(DATA / "cifar10-resnet20.npz", tmp_path / "demo.npz")
    monkeypatch.chdir(tmp_path)
    return tmp_path


EXAMPLES = {
    name: test
    for name, value in PUBLIC.items()
    for test in doctest.DocTestFinder(recurse=False).find(value, name, globs={"npresnet": npresnet, "np": np})
    if test.examples
}


def test_there_are_examples():
    assert {"load", "build", "read_state_dict", "list_archs", "labels.read", "Model.predict", "Model.stream",
            "Model.__call__", "Prediction", "Config"} <= EXAMPLES.keys()  # fmt: skip


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_print_what_they_say(name, folder):
    told: list[str] = []
    failed, tried = doctest.DocTestRunner(verbose=False).run(EXAMPLES[name], out=told.append)
    assert tried
    assert not failed, "".join(told)
