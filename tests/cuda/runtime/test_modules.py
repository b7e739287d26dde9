"""Compiled kernels in the user's cache: what names them, and what happens when they or the cache are broken."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from npresnet import DeviceError
from npresnet.cuda.launch import Source
from npresnet.cuda.runtime import modules, nvrtc, source
from npresnet.cuda.runtime.nvrtc import Compiled, Nvrtc
from tests.support.checkout import REPOSITORY

HAS_WHEELS = (sys.platform, platform.machine()) == ("linux", "x86_64")
with_wheels = pytest.mark.skipif(not HAS_WHEELS, reason="no NVRTC wheels for this platform in the extra `test`")

ADD = Source("add/add.cu", (("ELEMENT", "FLOAT32"),))
ADD_HALF = Source("add/add.cu", (("ELEMENT", "FLOAT16"),))


class FakeNvrtc:
    """Knows architectures, compiles anything to its own description, and counts."""

    identity = "12.9, 1 bytes"
    architectures = (75, 80, 86, 89, 90, 100, 120)

    def __init__(self):
        self.asked = []
        self.pause_s = 0.0

    def compile(self, text, name, architecture, defines=()):
        time.sleep(self.pause_s)
        self.asked.append((name, architecture, tuple(defines)))
        told = repr((text, name, architecture, defines)).encode()
        return Compiled(b"" if architecture.startswith("compute") else told, told, "")


@pytest.fixture
def compiler(monkeypatch, tmp_path):
    """A compiler without NVRTC, and a cache of its own."""
    fake = FakeNvrtc()
    monkeypatch.setattr(nvrtc, "open_nvrtc", lambda major=None: fake)
    monkeypatch.setattr(source, "read", lambda file: f"text of {file}")
    monkeypatch.setenv("NPRESNET_CACHE", str(tmp_path / "cache"))
    modules._temporary.cache_clear()
    modules._warn_once.cache_clear()
    yield fake
    modules._temporary.cache_clear()
    modules._warn_once.cache_clear()


def test_second_call_compiles_nothing(compiler, tmp_path):
    first = modules.module_path(ADD, 86)
    assert first.parent == tmp_path / "cache" / "cuda"
    assert first.suffix == ".cubin"
    assert modules.module_path(ADD, 86) == first
    assert compiler.asked == [("add/add.cu", "sm_86", ADD.defines)]


def test_another_macro_device_source_compiler_or_option_is_another_module(compiler, monkeypatch):
    paths = [modules.module_path(ADD, 86), modules.module_path(ADD_HALF, 86), modules.module_path(ADD, 80)]
    monkeypatch.setattr(source, "read", lambda file: "an edited include")
    paths.append(modules.module_path(ADD, 86))
    compiler.identity = "12.9, 2 bytes"
    paths.append(modules.module_path(ADD, 86))
    monkeypatch.setattr(nvrtc, "OPTIONS", ("-std=c++20",))
    paths.append(modules.module_path(ADD, 86))
    assert len(set(paths)) == len(compiler.asked) == 6
    assert len(list(paths[0].parent.iterdir())) == 6


@pytest.mark.parametrize("broken", [b"", b"cut off", b"x" * 100_000])
def test_broken_file_is_compiled_again(compiler, broken):
    path = modules.module_path(ADD, 86)
    whole = path.read_bytes()
    path.write_bytes(broken)
    assert modules.module_path(ADD, 86) == path
    assert path.read_bytes() == whole
    assert len(compiler.asked) == 2


def test_what_is_no_file_is_not_taken(compiler):
    path = modules.module_path(ADD, 86)
    path.unlink()
    path.mkdir()
    assert modules.module_path(ADD, 86).read_bytes()


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="no users' numbers on this system")
def test_somebody_else_s_file_is_not_taken(compiler, monkeypatch):
    path = modules.module_path(ADD, 86)
    monkeypatch.setattr(os, "getuid", lambda: path.stat().st_uid + 1)
    modules.module_path(ADD, 86)
    assert len(compiler.asked) == 2


def test_unwritable_cache_is_told_once_and_modules_live_elsewhere(compiler, monkeypatch, tmp_path, capsys):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("NPRESNET_CACHE", str(tmp_path / "file" / "cache"))
    first, second = modules.module_path(ADD, 86), modules.module_path(ADD_HALF, 86)
    assert first.read_bytes()
    assert second.read_bytes()
    assert modules.module_path(ADD, 86) == first
    assert len(compiler.asked) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert "NPRESNET_CACHE" in told[0]


def test_user_without_a_home_has_modules_too(compiler, monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(modules, "cache_folder", homeless)
    assert modules.module_path(ADD, 86).read_bytes()


def test_nowhere_to_write_is_an_error(compiler, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("NPRESNET_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(modules, "_temporary", _broken_temporary(tmp_path / "absent" / "temporary"))
    with pytest.raises(DeviceError, match=r"neither to the cache nor.*temporary"):
        modules.module_path(ADD, 86)


def _broken_temporary(path):
    import functools

    @functools.cache
    def folder():
        return path

    return folder


def test_threads_wait_for_the_one_that_compiles(compiler):
    compiler.pause_s = 0.05
    with ThreadPoolExecutor(8) as pool:
        paths = set(pool.map(lambda _: modules.module_path(ADD, 86), range(8)))
    assert len(paths) == len(compiler.asked) == 1


def test_different_modules_compile_at_the_same_time(compiler):
    meeting = threading.Barrier(2, timeout=60)
    compile_one = compiler.compile
    compiler.compile = lambda *arguments: (meeting.wait(), compile_one(*arguments))[1]
    paths = modules.module_paths([ADD, ADD_HALF, ADD], 86)
    assert set(paths) == {ADD, ADD_HALF}
    assert len(compiler.asked) == 2


def test_trouble_of_one_of_many_is_told(compiler):
    def refuse(*_):
        raise DeviceError("add/add.cu does not compile")

    compiler.compile = refuse
    with pytest.raises(DeviceError, match="does not compile"):
        modules.module_paths([ADD, ADD_HALF], 86)


def test_least_recently_used_modules_go_first(compiler, monkeypatch):
    paths = [modules.module_path(Source(f"{name}.cu"), 86) for name in "abc"]
    for age_s, path in enumerate(reversed(paths)):
        os.utime(path, (time.time() - 1000 * (age_s + 1),) * 2)
    modules.module_path(Source("a.cu"), 86)  # used again
    monkeypatch.setattr(modules, "LIMIT_BYTES", 3 * paths[0].stat().st_size + 10)
    kept = modules.module_path(Source("d.cu"), 86)
    assert set(kept.parent.iterdir()) == {paths[0], paths[2], kept}


def test_abandoned_parts_go_and_young_ones_stay(compiler):
    folder = modules.module_path(ADD, 86).parent
    old, young = folder / ".a.cubin.1234.part", folder / ".b.cubin.1234.part"
    old.write_bytes(b"")
    young.write_bytes(b"")
    os.utime(old, (time.time() - 2 * modules.ABANDONED_S,) * 2)
    modules.module_path(ADD_HALF, 86)
    assert young.exists()
    assert not old.exists()


@pytest.mark.parametrize(
    ("capability", "wanted"),
    [
        (75, "sm_75"),
        (86, "sm_86"),
        (87, "sm_86"),  # machine code runs on later devices of the same major number
        (90, "sm_90a"),
        (103, "sm_100"),
        (121, "sm_120"),
        (110, "compute_100"),  # the driver compiles it
        (130, "compute_120"),
    ],
)
def test_architecture_of_a_device(capability, wanted):
    assert modules.architecture(capability, FakeNvrtc.architectures) == wanted


@pytest.mark.parametrize("capability", [35, 61, 70, 72])
def test_too_old_a_device_is_refused(capability):
    with pytest.raises(DeviceError, match=rf"{capability / 10:.1f}.*7\.5"):
        modules.architecture(capability, (50, 61, 70, 72, 75, 80))


def test_newer_device_than_the_compiler_knows_gets_ptx(compiler):
    assert modules.module_path(ADD, 130).suffix == ".ptx"
    assert modules.module_path(ADD, 130).read_bytes()
    assert len(compiler.asked) == 1


@with_wheels
def test_processes_at_once_end_with_one_whole_module(tmp_path):
    program = (
        "from npresnet.cuda.runtime import modules; from npresnet.cuda.launch import Source; "
        f"print(modules.module_path({ADD!r}, 90, 12))"
    )
    environ = {**os.environ, "NPRESNET_CACHE": str(tmp_path)}
    command = [sys.executable, "-c", program]
    children = [
        subprocess.Popen(command, env=environ, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    told = {child.communicate()[0].strip() for child in children}
    (path,) = (tmp_path / "cuda").iterdir()
    assert told == {str(path)}
    assert path.read_bytes().startswith(b"\x7fELF")


@with_wheels
def test_compiles_and_keeps_what_nvrtc_makes(monkeypatch, tmp_path):
    monkeypatch.setenv("NPRESNET_CACHE", str(tmp_path))
    path = modules.module_path(ADD, 86, 13)
    assert path.read_bytes().startswith(b"\x7fELF")
    monkeypatch.setattr(Nvrtc, "compile", None)  # would fail
    assert modules.module_path(ADD, 86, 13) == path
