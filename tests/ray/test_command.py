"""`npresnet predict --ray` where it does nothing: what is missing, misused, or does not answer."""

from __future__ import annotations

import socket
import subprocess
import sys
from types import ModuleType

import pytest

from npresnet.cli import main
from npresnet.errors import DeviceError
from npresnet.ray import cluster, deployment, predict
from npresnet.ray.cluster import library
from tests.support.small import write_pictures

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")  # of Ray's own lines


@pytest.fixture
def photos(tmp_path):
    write_pictures(tmp_path / "photos", 2)
    return str(tmp_path / "photos")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--ray"], "--ray needs -o OUT.parquet"),
        (["--ray", "-o", "rows", "--csv"], "--csv and --ray exclude each other: the rows go to rows"),
        (["-", "--ray", "-o", "rows"], "not a list on stdin"),
        (["--resume"], "--resume and --workers are for --ray"),
        (["--workers", "3"], "--resume and --workers are for --ray"),
    ],
)
def test_wrong_usage(arguments, words, photos, capsys):
    assert main(["predict", photos, *arguments]) == 2
    out, err = capsys.readouterr()
    assert words in err
    assert out == ""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_an_address_that_does_not_answer(scheme, photos, tmp_path, capsys):
    address = f"{scheme}127.0.0.1:{free_port()}"
    assert main(["predict", photos, "-o", str(tmp_path / "rows.parquet"), "--ray", address]) == 1
    assert f"no Ray cluster answers at {address}: " in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_a_cluster_that_was_killed_is_not_waited_for(tmp_path, monkeypatch):
    """Ray's note of it stays, and Ray would try for minutes."""
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    assert cluster._noted() == ""
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text(f"127.0.0.1:{free_port()}\n")
    assert cluster._is_gone(cluster._noted())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        (tmp_path / "ray" / "ray_current_cluster").write_text(f"127.0.0.1:{listener.getsockname()[1]}")
        assert not cluster._is_gone(cluster._noted())


def test_an_address_that_is_none(photos, tmp_path):
    with pytest.raises(DeviceError, match="no Ray cluster answers at some words: Invalid address"):
        predict(photos, tmp_path / "rows", address="some words")


@pytest.mark.parametrize("module", ["ray", "pyarrow"])
def test_what_is_not_installed(module, photos, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, module, None)
    assert main(["predict", photos, "-o", str(tmp_path / "rows.parquet"), "--ray"]) == 1
    assert "python -m pip install 'npresnet[ray]'" in capsys.readouterr().err


def test_a_folder_called_ray_is_not_ray(monkeypatch):
    """As a package without contents, which is what Python takes a folder beside a program for."""
    monkeypatch.setitem(sys.modules, "ray", ModuleType("ray"))
    with pytest.raises(DeviceError, match=r"this needs Ray: python -m pip install 'npresnet\[ray\]'"):
        library()


def test_a_server_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "npresnet.serve", None)
    with pytest.raises(DeviceError, match=r"python -m pip install 'npresnet\[ray,serve\]'"):
        deployment()


def test_importing_the_package_imports_neither():
    program = (
        "import sys, npresnet.ray; npresnet.ray.Predictor; print(*sorted({'ray', 'pyarrow'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
