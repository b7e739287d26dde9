"""The smoke check passes an installation that is whole, and no other."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import npresnet
from tests.smoke import reference
from tests.smoke.frozen import PROGRAM
from tests.support.checkout import REPOSITORY

SERVE = '; extra == "serve"'


def install(site: Path) -> None:
    """As a wheel is installed: the package with kernels inside, and a record of every file."""
    shutil.copytree(REPOSITORY / "npresnet", site / "npresnet")
    shutil.copytree(REPOSITORY / "kernels", site / "npresnet" / "kernels")
    metadata = site / f"npresnet-{npresnet.__version__}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: npresnet\nVersion: {npresnet.__version__}\n")
    files = [path for path in (site / "npresnet").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    (metadata / "RECORD").write_text("".join(f"{_recorded(path, site)}\n" for path in sorted(files)))


def _recorded(path: Path, site: Path) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).rstrip(b"=").decode()
    return f"{path.relative_to(site).as_posix()},sha256={digest},{path.stat().st_size}"


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    site = tmp_path_factory.mktemp("whole") / "site"
    install(site)
    return site


@pytest.fixture
def site(whole, tmp_path) -> Path:
    """One to damage. Unchanged files are links."""
    shutil.copytree(whole, tmp_path / "site", copy_function=os.link)
    return tmp_path / "site"


def check(site: Path, *checks: str, cwd: Path) -> tuple[int, str]:
    """(exit code, what it printed)"""
    only = [text for name in checks for text in ("--only", name)]
    environ = {**os.environ, "PYTHONPATH": str(site), "NPRESNET_CACHE": str(cwd / "cache")}
    command = [sys.executable, str(PROGRAM / "smoke.py"), *only]
    done = subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def without_data(site: Path) -> None:
    shutil.rmtree(site / "npresnet" / "data")


def without_a_kernel(site: Path) -> None:
    """Neither there nor recorded: the wheel was built without it."""
    (site / "npresnet/kernels/max_pool2d/max_pool2d.cu").unlink()
    (record,) = site.glob("*.dist-info/RECORD")
    lines = record.read_text().splitlines(keepends=True)
    record.unlink()
    record.write_text("".join(line for line in lines if "max_pool2d.cu" not in line))


def without_a_header(site: Path) -> None:
    next((site / "npresnet" / "kernels").rglob("*.cuh")).unlink()


def without_a_module(site: Path) -> None:
    """One that is imported when it is first used."""
    (site / "npresnet/arch/families/tresnet.py").unlink()


def with_a_changed_byte(site: Path) -> None:
    page = next((site / "npresnet/teach/pages").glob("*.css"))
    content = page.read_bytes()
    page.unlink()
    page.write_bytes(content[:-2] + b" " + content[-1:])


def with_wrong_numbers(site: Path) -> None:
    """By one part in a hundred thousand, which no label shows."""
    model = site / "npresnet/model/model.py"
    text = model.read_text(encoding="utf-8")
    model.unlink()
    fault = "\n\n_right = Model.__call__\nModel.__call__ = lambda self, x: _right(self, x) * 1.00001\n"
    model.write_text(text + fault, encoding="utf-8")


def test_a_whole_installation(whole, tmp_path):
    code, printed = check(whole, "package", "kernels", "demo", "resnet18", "files", cwd=tmp_path)
    assert code == 0, printed
    assert printed.count("ok ") == 5


@pytest.mark.parametrize("extra", [True, False])
def test_a_package_that_is_not_installed(site, extra, tmp_path):
    """That which only an extra brings is not missed."""
    (site / "starlette.py").write_text("raise ModuleNotFoundError('no starlette', name=__name__)\n")
    (metadata,) = site.glob("*.dist-info/METADATA")
    text = metadata.read_text()
    metadata.unlink()
    metadata.write_text(f"{text}Requires-Dist: starlette>=0.37{SERVE * extra}\n")
    code, printed = check(site, "package", cwd=tmp_path)
    assert code == int(not extra)
    assert ("of them need an extra" if extra else "no starlette") in printed


@pytest.mark.parametrize(
    ("damage", "failing", "said"),
    [
        (without_data, "demo", "cifar10-resnet20.npz"),
        (without_a_kernel, "kernels", "max_pool2d.cu"),
        (without_a_header, "kernels", "cannot be read"),
        (without_a_module, "package", "tresnet"),
        (with_a_changed_byte, "package", ".css"),
        (with_wrong_numbers, "demo", "RMS error"),
        (with_wrong_numbers, "resnet18", "RMS error"),
    ],
)
def test_a_damaged_one(site, damage: Callable[[Path], None], failing, said, tmp_path):
    damage(site)
    code, printed = check(site, failing, cwd=tmp_path)
    assert code == 1
    assert printed.startswith(f"FAILED  {failing}")
    assert said in printed


@pytest.mark.parametrize("expectation", ["optimize=2", "core=Katmai", "encoding=ascii/utf-7"])
def test_another_environment_than_expected(whole, expectation, tmp_path):
    environ = {**os.environ, "PYTHONPATH": str(whole)}
    command = [sys.executable, str(PROGRAM / "smoke.py"), "--only", "interpreter", "--expect", expectation]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"expected '{expectation.split('=')[1]}'" in done.stdout


def test_the_reference_is_pytorch_s():
    found, written = reference.compute(), reference.read()
    assert found.keys() == written.keys()
    for network in ("demo", "resnet18"):
        assert np.allclose(found[network]["float64"], written[network]["float64"], rtol=1e-9, atol=1e-9)
        assert 1 / 3 < found[network]["float32_rms"] / written[network]["float32_rms"] < 3
    assert (found["pixels"], found["demo_sha256"]) == (written["pixels"], written["demo_sha256"])
