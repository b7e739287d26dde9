"""npresnet prepare, npresnet cache and npresnet inspect --verify."""

from __future__ import annotations

import pytest


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NPRESNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NPRESNET_PREPARED")
    return tmp_path / "cache"


def test_prepare_info_clear(run, folder, model_file):
    done = run("prepare", model_file, "--threads", 1, "--input-size", 3, 48, 48)
    assert (done.code, done.out) == (0, "")
    (file,) = (folder / "prepared").glob("*.prepared")
    assert str(file) in done.err
    (folder / "resnet18-00000000.pth").write_bytes(bytes(1_500_000))
    (folder / "cuda").mkdir()
    (folder / "cuda" / "a.cubin").write_bytes(bytes(200_000))
    lines = [line.split() for line in run("cache", "info").out.splitlines()]
    assert ["folder", str(folder)] in lines
    assert next(line for line in lines if line[0] == "prepared")[1:3] == ["1", "file,"]
    (row,) = [line for line in lines if line[0] == file.name]
    assert row[-1] == model_file.name
    assert ["downloads", "1", "file,", "1.5", "MB"] in lines
    assert ["CUDA", "kernels", "1", "file,", "0.2", "MB"] in lines
    done = run("cache", "clear")
    assert (done.code, done.out) == (0, "")
    assert "deleted 1 file" in done.err
    assert sorted(path.name for path in folder.rglob("*")) == ["a.cubin", "cuda", "prepared", "resnet18-00000000.pth"]


def test_info_of_no_cache(run, folder):
    done = run("cache", "info")
    assert done.code == 0
    assert "0 files, 0.0 MB of at most 1,000 MB" in done.out
    assert run("cache", "clear").code == 0
    assert not folder.exists()


def test_a_name_in_a_file_cannot_write_to_the_terminal(run, folder, tmp_path, model_file):
    odd = tmp_path / "\x1b[31mred.npz"
    odd.write_bytes(model_file.read_bytes())
    assert run("prepare", odd).code == 0
    out = run("cache", "info").out
    assert "\x1b" not in out
    assert "red.npz" in out


def test_prepare_that_cannot_says_why(run, folder, model_file, monkeypatch):
    monkeypatch.setenv("NPRESNET_PREPARED", "0")
    done = run("prepare", model_file)
    assert done.code == 1
    assert "NPRESNET_PREPARED is 0" in done.err
    assert "NPRESNET_PREPARED=0: not used" in run("cache", "info").out


def test_inspect_verify(run, tmp_path, model_file):
    raw = bytearray(model_file.read_bytes())
    done = run("inspect", "--verify", model_file)
    assert done.code == 0
    assert f"read       {len(raw):,} bytes" in done.out
    raw[len(raw) // 2] ^= 1
    (tmp_path / "bad.npz").write_bytes(raw)
    assert run("inspect", tmp_path / "bad.npz").code == 0
    done = run("inspect", "--verify", tmp_path / "bad.npz")
    assert done.code == 1
    assert "does not match" in done.err or "do not match" in done.err
