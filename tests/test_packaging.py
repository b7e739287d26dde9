"""The contents of distributions, and all ways to install: wheel, sdist, `pip install .`, editable, bare checkout."""

from __future__ import annotations

import email
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from npresnet.errors import DeviceError
from npresnet.system.kernel_root import kernel_root
from tests.support import checkout, environment

tomllib = pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli")
REPOSITORY = checkout.REPOSITORY
SETTINGS = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
PROBE = """
import json, pathlib, npresnet, npresnet.system.kernel_root
package = pathlib.Path(npresnet.__file__).resolve().parent
kernels = npresnet.system.kernel_root.kernel_root()
print(json.dumps({
    "package": str(package), "kernels": str(kernels), "version": npresnet.__version__,
    "kernel_files": sorted(path.relative_to(kernels).as_posix() for path in kernels.rglob("*") if path.is_file()),
    "data_files": sorted(path.name for path in (package / "data").iterdir() if path.is_file()),
}))
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    return checkout.copy_to(tmp_path_factory.mktemp("source") / "npresnet-checkout")


@pytest.fixture(scope="module")
def dist(source, tmp_path_factory) -> Path:
    """A folder with an sdist, and a wheel built from that sdist."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(source)]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(dist) -> Path:
    (path,) = dist.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def sdist(dist) -> Path:
    (path,) = dist.glob("*.tar.gz")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> environment.Environment:
    made = environment.make(tmp_path_factory.mktemp("wheel"))
    made.install(wheel)
    return made


def in_package() -> set[str]:
    """The expected files of a wheel, by their names in it."""
    inside = {path.as_posix() for path in checkout.list_files() if path.parts[0] == "npresnet"}
    kernels = {path.as_posix() for path in checkout.list_files() if path.parts[0] == "kernels"}
    return inside | {f"npresnet/{name}" for name in kernels}


def test_packages_are_those_of_the_tree():
    folders = {Path(name).parent for name in in_package()}
    code = {
        folder
        for folder in folders
        if any(Path(name).parent == folder for name in in_package() if name.endswith(".py"))
    }
    expected = {".".join(folder.parts) for folder in code} | {"npresnet.data", "npresnet.kernels"}
    assert sorted(SETTINGS["tool"]["setuptools"]["packages"]) == sorted(expected)


def test_every_package_has_an_init():
    missing = [
        package
        for package in SETTINGS["tool"]["setuptools"]["packages"]
        if package not in ("npresnet.data", "npresnet.kernels")  # data rather than Python
        and not (REPOSITORY.joinpath(*package.split(".")) / "__init__.py").is_file()
    ]
    assert missing == []


def test_kernels_hold_no_python():
    assert [path for path in checkout.list_files() if path.parts[0] == "kernels" and path.suffix == ".py"] == []


def test_wheel_holds_the_package_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    metadata = {name for name in names if name.split("/")[0].endswith(".dist-info")}
    assert names - metadata == in_package()
    assert {Path(name).name for name in metadata} >= {"LICENSE", "THIRD_PARTY.md", "METADATA", "entry_points.txt"}


def test_sdist_holds_every_file(sdist):
    with tarfile.open(sdist) as archive:
        names = {member.name.split("/", 1)[1] for member in archive.getmembers() if member.isfile()}
    assert {path.as_posix() for path in checkout.list_files()} - names == set()


def test_wheel_metadata(wheel, installed, tmp_path):
    archive = zipfile.ZipFile(wheel)
    (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    metadata = email.message_from_bytes(archive.read(name))
    required = [line for line in metadata.get_all("Requires-Dist") if "extra ==" not in line]
    names = sorted(re.match(r"[A-Za-z0-9_.-]+", line)[0] for line in required)
    assert names == sorted(environment.DEPENDENCIES)
    assert metadata["Requires-Python"] == ">=3.10"
    assert set(metadata.get_all("Provides-Extra")) >= {"cuda12", "cuda13", "viz", "ray", "safetensors", "test", "dev"}
    assert metadata["Version"] == installed.probe(PROBE, cwd=tmp_path)["version"]


def check_probe(found: dict, *, package: Path, kernels: Path) -> None:
    assert Path(found["package"]) == package.resolve()
    assert Path(found["kernels"]) == kernels.resolve()
    in_kernels = [
        path.relative_to("kernels").as_posix() for path in checkout.list_files() if path.parts[0] == "kernels"
    ]
    assert found["kernel_files"] == sorted(in_kernels)
    in_data = [path.name for path in checkout.list_files() if path.parts[:2] == ("npresnet", "data")]
    assert found["data_files"] == sorted(in_data)


def test_wheel_installed(installed, tmp_path):
    (package,) = installed.folder.rglob("site-packages/npresnet")
    check_probe(installed.probe(PROBE, cwd=tmp_path), package=package, kernels=package / "kernels")


@pytest.mark.parametrize("kind", ["sdist", "source"])
def test_built_on_install(kind, request, tmp_path):
    made = environment.make(tmp_path, "setuptools")
    made.install(request.getfixturevalue(kind))
    (package,) = made.folder.rglob("site-packages/npresnet")
    check_probe(made.probe(PROBE, cwd=tmp_path), package=package, kernels=package / "kernels")


def test_editable(source, tmp_path):
    made = environment.make(tmp_path, "setuptools")
    made.install("--editable", source)
    check_probe(made.probe(PROBE, cwd=tmp_path), package=source / "npresnet", kernels=source / "kernels")


def test_bare_checkout(source, tmp_path):
    made = environment.make(tmp_path)
    found = made.probe(PROBE, cwd=tmp_path, env={"PYTHONPATH": str(source)})
    check_probe(found, package=source / "npresnet", kernels=source / "kernels")


def test_demo_without_torch(installed, tmp_path):
    assert installed.probe("import importlib.util as u; print(int(u.find_spec('torch') is None))", cwd=tmp_path) == 1
    by_script = installed.run("npresnet", "demo", cwd=tmp_path)
    by_module = installed.run("python", "-m", "npresnet", "demo", cwd=tmp_path)
    assert "cat" in by_script.stdout
    assert "cat" in by_module.stdout
    assert list(tmp_path.iterdir()) == []  # the demo writes no files


def test_kernels_missing(tmp_path):
    (tmp_path / "npresnet").mkdir()
    (tmp_path / "kernels").mkdir()  # another package, as in site-packages: no pyproject.toml beside it
    with pytest.raises(DeviceError, match="CUDA sources are missing"):
        kernel_root(tmp_path / "npresnet")


def test_no_machine_paths():
    """No text file contains a home folder or a path of one machine."""
    places = "|".join(["root", "work", "home/[a-z]", "Users/[A-Za-z]", "tmp/w", "opt/[a-z]+"])
    pattern = re.compile(rf"(?<![\w.\-/:])/(?:{places})/")
    found = []
    for path in checkout.list_files():
        content = (REPOSITORY / path).read_bytes()
        if b"\0" in content:
            continue
        lines = enumerate(content.decode("utf-8").splitlines(), start=1)
        found += [f"{path}:{number}: {line.strip()}" for number, line in lines if pattern.search(line)]
    assert found == []
