"""read: invalid paths, messages, and the place where parsing errors are caught."""

from __future__ import annotations

import hashlib
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from npresnet import weights
from npresnet.errors import CheckpointError
from npresnet.weights import opening
from tests.support.checkout import REPOSITORY


@pytest.mark.parametrize("function", [weights.read, weights.read_state_dict, weights.inspect, weights.sha256])
class TestPaths:
    def test_missing(self, tmp_path, function):
        with pytest.raises(CheckpointError, match=r"nowhere\.pth: no such file.*resnet18"):
            function(tmp_path / "nowhere.pth")

    def test_folder(self, tmp_path, function):
        with pytest.raises(CheckpointError, match="a folder"):
            function(tmp_path)

    def test_empty(self, tmp_path, function):
        (tmp_path / "w.pth").write_bytes(b"")
        with pytest.raises(CheckpointError, match=r"w\.pth: the file is empty"):
            function(tmp_path / "w.pth")

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
    def test_pipe(self, tmp_path, function):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(CheckpointError, match="not a regular file"):
            function(tmp_path / "pipe")

    @pytest.mark.parametrize("path", ["nul\0byte", "x" * 5000, ""])
    def test_impossible_names(self, function, path):
        with pytest.raises(CheckpointError):
            function(path)

    @pytest.mark.parametrize("path", [None, 3.5, ["w.pth"], {"w.pth"}])
    def test_wrong_path_type(self, function, path):
        with pytest.raises(CheckpointError, match=r"str or os\.PathLike"):
            function(path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root can read every file")
def test_no_read_permission(tmp_path):
    path = tmp_path / "w.pth"
    path.write_bytes(b"x")
    path.chmod(0)
    with pytest.raises(CheckpointError, match="cannot be opened"):
        weights.read(path)


def test_a_path_of_any_kind(tmp_path, monkeypatch):
    weights.write_npz(tmp_path / "w.npz", {"w": np.ones(2)}, {})
    monkeypatch.chdir(tmp_path)
    for path in ("w.npz", pathlib.Path("w.npz")):
        assert list(weights.read_state_dict(path)) == ["w"]
    assert weights.read("w.npz").path == "w.npz"


def test_sha256(tmp_path):
    raw = bytes(range(256)) * 10_000
    (tmp_path / "w").write_bytes(raw)
    assert weights.sha256(tmp_path / "w") == hashlib.sha256(raw).hexdigest()


def test_sha256_of_real_weights_is_in_their_name(cifar_checkpoints):
    for path in cifar_checkpoints.values():
        assert path.stem.endswith(weights.sha256(path)[:8])


def test_a_truncated_download(data_dir):
    with pytest.raises(CheckpointError, match=r"truncated-resnet18.*truncated after 579,901 bytes.*again"):
        weights.read(data_dir / "checkpoints" / "truncated-resnet18-f37072fd.pth")


@pytest.mark.parametrize("error", [RecursionError("too deep"), KeyError("k"), EOFError(), OSError(5, "I/O error")])
def test_other_exceptions_become_a_checkpoint_error_with_their_cause(folder, monkeypatch, error):
    def fails(_):
        raise error

    monkeypatch.setattr(opening, "read_contents", fails)
    path = folder.write(b"x")
    with pytest.raises(CheckpointError, match=f"damaged.*{type(error).__name__}") as caught:
        weights.read(path)
    assert caught.value.__cause__ is error


def test_interrupts_pass(folder, monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(opening, "read_contents", interrupted)
    with pytest.raises(KeyboardInterrupt):
        weights.read(folder.write(b"x"))


def test_names_from_a_file_cannot_control_the_terminal(folder):
    import pickle

    message = folder.refuses(pickle.dumps({"\x1b[31m" + "x" * 500 + "\n": 1}))
    assert "\x1b" not in message
    assert "\n" not in message
    assert len(message) < 600


def test_arrays_outlive_the_checkpoint_and_the_files_name(tmp_path):
    weights.write_npz(tmp_path / "w.npz", {"w": np.arange(1000.0)}, {})
    array = weights.read_state_dict(tmp_path / "w.npz")["w"]
    if os.name != "nt":
        (tmp_path / "w.npz").unlink()
    assert array.sum() == 499500
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1


def test_a_file_system_that_cannot_map(folder, monkeypatch):
    import mmap

    def cannot(*_, **__):
        raise OSError(19, "No such device")

    raw = weights.write_npz(folder.path / "w.npz", {"w": np.ones(3)}, {"a": 1})
    monkeypatch.setattr(mmap, "mmap", cannot)
    assert raw is None
    assert weights.read(folder.path / "w.npz").tensors["w"].tolist() == [1, 1, 1]


def test_importing_the_reader_is_light():
    """It imports only what reading local files needs: no network, archive, progress bar or torch modules."""
    heavy = [
        "torch",
        "urllib.request",
        "http.client",
        "ssl",
        "zipfile",
        "tarfile",
        "tqdm",
        "platformdirs",
        "hashlib",
        "difflib",
    ]
    code = (
        "import sys, numpy; before = set(sys.modules); import npresnet.weights.checkpoint; "
        f"print([name for name in {heavy} if name in sys.modules and name not in before])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert done.stdout.strip() == "[]"
