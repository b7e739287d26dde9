"""The README's commands and code are run as they stand there; see tools/readme_commands.py for the convention."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import npresnet
from tests.support.checkout import REPOSITORY
from tools import readme_commands

README = readme_commands.README.read_text(encoding="utf-8")
BLOCKS = readme_commands.read_blocks(README)
SAMPLE = REPOSITORY / "npresnet" / "data" / "chelsea.jpg"


@pytest.fixture(scope="module")
def folder(tmp_path_factory, pytestconfig) -> Path:
    """A user's working directory, with the files that the README's examples name."""
    folder = tmp_path_factory.mktemp("readme")
    _put_photos(folder, pytestconfig.npresnet_data_dir)
    npresnet.build("resnet18").save(folder / "resnet18.npz")
    _put_pth(folder / "resnet18.npz", folder / "resnet18.pth")
    (folder / "labels.json").write_text(json.dumps([f"class {i}" for i in range(1000)]))
    return folder


def _put_photos(folder: Path, data_dir: Path | None) -> None:
    """photos/, dog.jpg and cat.jpg: the test data's, or copies of the sample photo where there is none."""
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
    """`python` is this Python, `npresnet` this checkout's command, and the user's cache folder is empty."""
    scripts = tmp_path_factory.mktemp("bin")
    for name, command in {"python": "", "npresnet": " -m npresnet"}.items():
        (scripts / name).write_text(f'#!/bin/sh\nexec "{sys.executable}"{command} "$@"\n')
        (scripts / name).chmod(0o755)
    paths = os.pathsep.join([str(scripts), os.environ["PATH"]])
    cache = str(tmp_path_factory.mktemp("cache"))
    return {**os.environ, "PATH": paths, "PYTHONPATH": str(REPOSITORY), "XDG_CACHE_HOME": cache, "TORCH_HOME": cache}


def run_shell(script: str, folder: Path, environ: dict[str, str]) -> None:
    shell = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(shell, cwd=folder, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, f"exit {done.returncode}\n{script}\n{tail(done)}"


def tail(done: subprocess.CompletedProcess[str], length: int = 2000) -> str:
    return f"...{done.stdout[-length:]}\n...{done.stderr[-length:]}"


def after_install(block: readme_commands.Block) -> str:
    """Of `python -m pip install . && npresnet demo`, what comes after the installation."""
    return block.text.partition("&&")[2].strip() if block.not_run == "install" else ""


@pytest.mark.skipif(os.name == "nt", reason="the README's commands are for a POSIX shell")
def test_shell_blocks(folder, environ):
    blocks = [block for block in BLOCKS if block.language == "sh" and block.not_run is None]
    assert blocks
    for block in blocks:
        run_shell(block.text, folder, environ)


@pytest.mark.skipif(os.name == "nt", reason="the README's commands are for a POSIX shell")
def test_main_job_after_installation(folder, environ):
    commands = [after_install(block) for block in BLOCKS if after_install(block)]
    assert "npresnet demo" in commands
    for command in commands:
        run_shell(command, folder, environ)


def test_python_blocks(folder, environ):
    blocks = [block for block in BLOCKS if block.language == "python" and block.not_run is None]
    assert blocks
    whole = "\n".join(f"# {block}\n{block.text}" for block in blocks)
    script = folder.parent / "readme_blocks.py"
    script.write_text(whole, encoding="utf-8")
    done = subprocess.run([sys.executable, script], cwd=folder, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, tail(done)


def test_every_block_is_run_or_says_why_not():
    known = readme_commands.RUN_LANGUAGES + readme_commands.SHOWN_LANGUAGES
    assert [f"{block}: {block.language}" for block in BLOCKS if block.language not in known] == []
    reasons = (*readme_commands.REASONS, None)
    assert [f"{block}: {block.not_run}" for block in BLOCKS if block.not_run not in reasons] == []


def test_reasons_are_true():
    """Nothing is left out under a reason that does not fit it."""
    sign = {"install": "pip install", "test command": "pytest", "benchmark": "benchmarks/", "gpu": "cuda"}
    wrong = [str(block) for block in BLOCKS if block.not_run in sign and sign[block.not_run] not in block.text]
    assert wrong == []


def test_two_commands_set_everything_up():
    assert readme_commands.find_test_command(README) == "python -m pip install '.[test]' && python -m pytest -n 2"
    assert any(block.text.strip() == "python -m pip install . && npresnet demo" for block in BLOCKS)


def test_read_blocks():
    text = "# A\n```sh\none\n```\n## Tests\n<!-- not run: gpu -->\n```python\ntwo\nthree\n```\ntext\n```text\n```\n"
    found = [(b.language, b.text, b.section, b.line, b.not_run) for b in readme_commands.read_blocks(text)]
    assert found == [
        ("sh", "one\n", "A", 2, None),
        ("python", "two\nthree\n", "Tests", 7, "gpu"),
        ("text", "", "Tests", 12, None),
    ]
