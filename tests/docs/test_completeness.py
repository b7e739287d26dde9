"""The pages name everything that there is: commands, options, wrappers, errors, extras, environment variables."""

from __future__ import annotations

import argparse
import re
import sys

import pytest

import npresnet
from npresnet import arch
from npresnet.cli.parser import make_parser
from npresnet.weights import custom, state_dict
from tests.support.checkout import REPOSITORY, list_files

VARIABLE = re.compile(r"\"(NPRESNET_[A-Z_]+)\"")


def page(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


def words(name: str) -> set[str]:
    """What stands in code spans of a page, word by word; a table's pipe is written with a backslash."""
    spans = re.findall(r"`([^`\n]+)`", page(name).replace("\\|", "|"))
    return {word.strip("\"',=()") for span in spans for word in re.split(r"[\s|]+", span)}


def commands() -> dict[str, argparse.ArgumentParser]:
    (action,) = (a for a in make_parser()._actions if isinstance(a, argparse._SubParsersAction))
    return dict(action.choices)


@pytest.mark.parametrize("command", commands())
def test_commands_and_their_options(command):
    shown = words("docs/command-line.md")
    assert command in shown
    actions = [action for action in commands()[command]._actions if action.help != argparse.SUPPRESS]
    options = [action.option_strings for action in actions if action.option_strings]
    assert [spellings for spellings in options if not shown & set(spellings)] == []


def test_options_and_names_of_architectures():
    names = {*arch.OPTIONS, *npresnet.list_archs()}
    assert names - words("docs/families.md") == set()


def test_wrappers_and_prefixes():
    assert {*custom.WRAPPERS, *state_dict.PREFIXES} - words("docs/formats.md") == set()


def test_public_names():
    assert {*npresnet.__all__} - words("docs/python.md") - words("docs/reliability.md") == set()


def test_extras():
    tomllib = pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli")
    extras = tomllib.loads(page("pyproject.toml"))["project"]["optional-dependencies"]
    assert extras.keys() - words("README.md") == set()
    assert extras.keys() - words("docs/start.md") == set()  # the site has no README


def test_environment_variables():
    sources = [path for path in list_files() if path.parts[0] == "npresnet" and path.suffix == ".py"]
    variables = {name for path in sources for name in VARIABLE.findall(page(path.as_posix()))}
    assert variables
    assert variables - words("docs/command-line.md") == set()
