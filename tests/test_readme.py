"""The commands and code of the README and the pages of docs/ run as written; see tools/readme_commands.py."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import npresnet
from tests.support.checkout import REPOSITORY
from tools import readme_commands

README = readme_commands.README.read_text(encoding="utf-8")
PAGES = {
    path.relative_to(REPOSITORY).as_posix(): path.read_text(encoding="utf-8") for path in readme_commands.list_pages()
}
BLOCKS = {page: readme_commands.read_blocks(text, page) for page, text in PAGES.items()}
ALL_BLOCKS = [block for blocks in BLOCKS.values() for block in blocks]
MOST_README_LINES = 200
SAMPLE = REPOSITORY / "npresnet" / "data" / "chelsea.jpg"


def run_blocks(language: str) -> dict[str, list[readme_commands.Block]]:
    """{page: its blocks of this language that are run}, for pages with such blocks."""
    found = {page: [b for b in blocks if b.language == language and not b.not_run] for page, blocks in BLOCKS.items()}
    return {page: blocks for page, blocks in found.items() if blocks}


@pytest.fixture(scope="module")
def examples(tmp_path_factory, pytestconfig) -> Path:
    """The files used by the examples."""
    folder = tmp_path_factory.mktemp("examples")
    _put_photos(folder, pytestconfig.npresnet_data_dir)
    npresnet.build("resnet18").save(folder / "resnet18.npz")
    _put_pth(folder / "resnet18.npz", folder / "resnet18.pth")
    (folder / "labels.json").write_text(json.dumps([f"class {i}" for i in range(1000)]))
    return folder


@pytest.fixture
def folder(examples, tmp_path) -> Path:
    """The working directory of one page, with links to these files: npresnet replaces files, never modifies them."""
    return shutil.copytree(examples, tmp_path / "folder", copy_function=os.link)


def _put_photos(folder: Path, data_dir: Path | None) -> None:
    """photos/, dog.jpg and cat.jpg: of the test data, or copies of the sample photo if it is missing."""
    (folder / "photos").mkdir()
    photos = sorted((data_dir / "photos").glob("*.JPEG"))[:3] if data_dir else [SAMPLE]
    for photo in photos:
        shutil.copy(photo, folder / "photos")
    dog = data_dir / "photos" / "n02106662_German_shepherd.JPEG" if data_dir else SAMPLE
    shutil.copy(dog, folder / "dog.jpg")
    shutil.copy(SAMPLE, folder / "cat.jpg")


def _put_pth(npz: Path, pth: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.save({name: torch.from_numpy(array.copy()) for name, array in npresnet.read_state_dict(npz).items()}, pth)


@pytest.fixture(scope="module")
def environ(tmp_path_factory) -> dict[str, str]:
    """`python` is this interpreter, `npresnet` this checkout's command, and the user's cache folder is empty."""
    scripts = tmp_path_factory.mktemp("bin")
    for name, command in {"python": "", "npresnet": " -m npresnet"}.items():
        (scripts / name).write_text(f'#!/bin/sh\nexec "{sys.executable}"{command} "$@"\n')
        (scripts / name).chmod(0o755)
    paths = os.pathsep.join([str(scripts), os.environ["PATH"]])
    cache = str(tmp_path_factory.mktemp("cache"))
    caches = {"XDG_CACHE_HOME": cache, "TORCH_HOME": cache, "NPRESNET_PREPARED": "1"}
    return {**os.environ, "PATH": paths, "PYTHONPATH": str(REPOSITORY), **caches}


def run_shell(script: str, folder: Path, environ: dict[str, str]) -> None:
    shell = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(shell, cwd=folder, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, f"exit {done.returncode}\n{script}\n{tail(done)}"


def tail(done: subprocess.CompletedProcess[str], length: int = 2000) -> str:
    return f"...{done.stdout[-length:]}\n...{done.stderr[-length:]}"


def after_install(block: readme_commands.Block) -> str:
    """The part of `python -m pip install . && npresnet demo` after the installation."""
    return block.text.partition("&&")[2].strip() if block.not_run == "install" else ""


@pytest.mark.skipif(os.name == "nt", reason="the pages' commands are for a POSIX shell")
@pytest.mark.parametrize("page", run_blocks("sh"))
def test_shell_blocks(page, folder, environ):
    for block in run_blocks("sh")[page]:
        run_shell(block.text, folder, environ)


@pytest.mark.skipif(os.name == "nt", reason="the pages' commands are for a POSIX shell")
def test_main_job_after_installation(folder, environ):
    commands = [after_install(block) for block in ALL_BLOCKS if after_install(block)]
    assert "npresnet demo" in commands
    for command in commands:
        run_shell(command, folder, environ)


@pytest.mark.parametrize("page", run_blocks("python"))
def test_python_blocks(page, folder, environ):
    """A page's blocks are one program that prints the outputs shown on the page."""
    whole = "\n".join(f"# {block}\n{block.text}" for block in run_blocks("python")[page])
    script = folder.parent / "blocks.py"
    script.write_text(whole, encoding="utf-8")
    done = subprocess.run([sys.executable, script], cwd=folder, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, tail(done)
    for block in BLOCKS[page]:
        if block.language in readme_commands.SHOWN_LANGUAGES:
            assert block.text in done.stdout, block


def test_pages_have_blocks_of_both_kinds():
    assert {"README.md", "docs/command-line.md", "docs/formats.md", "docs/families.md"} <= run_blocks("sh").keys()
    assert {"README.md", "docs/python.md", "docs/reliability.md", "docs/learning.md"} <= run_blocks("python").keys()
    shown = [block for block in ALL_BLOCKS if block.language in readme_commands.SHOWN_LANGUAGES]
    assert {block.page for block in shown} <= run_blocks("python").keys(), (
        "an output that the page's code does not print"
    )


def test_every_block_is_run_or_has_a_reason():
    known = readme_commands.RUN_LANGUAGES + readme_commands.SHOWN_LANGUAGES + readme_commands.FILE_LANGUAGES
    assert [f"{block}: {block.language}" for block in ALL_BLOCKS if block.language not in known] == []
    reasons = (*readme_commands.REASONS, None)
    assert [f"{block}: {block.not_run}" for block in ALL_BLOCKS if block.not_run not in reasons] == []


def test_reasons_are_true():
    """Blocks are only excluded for a reason that applies."""
    signs = readme_commands.REASONS
    assert [str(b) for b in ALL_BLOCKS if b.not_run in signs and not re.search(signs[b.not_run], b.text)] == []


def test_two_commands_set_everything_up():
    assert readme_commands.find_test_command(README) == "python -m pip install '.[test]' && python -m pytest -n 2"
    assert any(block.text.strip() == "python -m pip install . && npresnet demo" for block in BLOCKS["README.md"])


def test_the_readme_is_short():
    assert len(README.splitlines()) <= MOST_README_LINES


@pytest.mark.parametrize(("page", "heading"), [("README.md", "### Speed"), ("docs/performance.md", "## Summary")])
def test_figures_of_speed_are_those_of_the_tables(page, heading):
    """Decimals and numbers of three or more digits; new measurements require new text."""
    text = PAGES[page].partition(f"\n{heading}\n")[2].partition("\n#")[0]
    figures = re.findall(r"(?<![\w-])(?:\d+\.\d+|\d{3,})(?![\w-])", text)
    assert len(figures) >= 10
    tables = PAGES["docs/performance.md"].partition("<!-- speed:start -->")[2]
    assert [figure for figure in figures if not re.search(rf"(?<![\d.]){re.escape(figure)}(?![\d.])", tables)] == []


def test_read_blocks():
    text = "# A\n```sh\none\n```\n## Tests\n<!-- not run: gpu -->\n```python\ntwo\nthree\n```\ntext\n```text\n```\n"
    blocks = readme_commands.read_blocks(text, "docs/a.md")
    assert [(b.language, b.text, b.section, b.line, b.not_run) for b in blocks] == [
        ("sh", "one\n", "A", 2, None),
        ("python", "two\nthree\n", "Tests", 7, "gpu"),
        ("text", "", "Tests", 12, None),
    ]
    assert str(blocks[1]) == "docs/a.md:7"
