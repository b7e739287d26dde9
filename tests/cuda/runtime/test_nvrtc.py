"""NVRTC's library found, loaded and asked; what it says, read."""

from __future__ import annotations

import platform
import sys
import types
from pathlib import Path

import pytest

from npresnet import DeviceError
from npresnet.cuda.runtime import nvrtc, nvrtc_library
from npresnet.cuda.runtime.compile_log import Usage

HAS_WHEELS = (sys.platform, platform.machine()) == ("linux", "x86_64")
with_wheels = pytest.mark.skipif(not HAS_WHEELS, reason="no NVRTC wheels for this platform in the extra `test`")

DOUBLES = 'extern "C" __global__ void doubles(float* x) { x[threadIdx.x] *= FACTOR; }'
LOG = """\
conv2d/wgmma.cu(12): warning #177-D: variable "unused" was declared but never referenced

ptxas info    : (C7510) Potential Performance Loss: wgmma.mma_async instructions are serialized in function 'conv'
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'conv' for 'sm_90a'
ptxas info    : Function properties for conv
ptxas         .     48 bytes stack frame, 44 bytes spill stores, 52 bytes spill loads
ptxas info    : Used 168 registers, used 1 barriers, 48 bytes cumulative stack size, 2176 bytes smem
ptxas info    : Compile time = 70.362 ms
ptxas info    : Compiling entry function 'add' for 'sm_90a'
ptxas info    : Function properties for add
ptxas         .     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 8 registers, used 0 barriers
"""


def test_log_tells_registers_spills_and_shared_memory():
    log = nvrtc.parse_log(LOG)
    assert log.kernels == {"conv": Usage(168, 48, 52, 2176), "add": Usage(8, 0, 0, 0)}


def test_log_tells_the_compiler_s_warnings_and_ptxas_s_losses():
    warnings = nvrtc.parse_log(LOG).warnings
    assert len(warnings) == 2
    assert "never referenced" in warnings[0]
    assert "C7510" in warnings[1]


def test_empty_log_has_no_kernels():
    assert nvrtc.parse_log("") == ({}, ())


def test_function_that_was_not_inlined_counts_as_its_kernel_s():
    log = nvrtc.parse_log(
        "ptxas info    : Compiling entry function 'conv' for 'sm_80'\n"
        "ptxas info    : Function properties for conv\n"
        "ptxas         .     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n"
        "ptxas info    : Used 20 registers\n"
        "ptxas info    : Function properties for helper\n"
        "ptxas         .     8 bytes stack frame, 4 bytes spill stores, 4 bytes spill loads\n"
    )
    assert log.kernels == {"conv": Usage(20, 8, 4, 0)}


@with_wheels
@pytest.mark.parametrize("major", [12, 13])
def test_compiles_to_machine_code_and_to_ptx(major):
    compiled = nvrtc.compile(DOUBLES, "doubles.cu", "sm_80", [("FACTOR", "2.f")], major=major)
    assert compiled.cubin.startswith(b"\x7fELF")
    assert b".entry doubles" in compiled.ptx
    assert list(nvrtc.parse_log(compiled.log).kernels) == ["doubles"]


@with_wheels
def test_virtual_architecture_gives_ptx_alone():
    compiled = nvrtc.compile(DOUBLES, "doubles.cu", "compute_120", [("FACTOR", "2.f")], major=13)
    assert compiled.cubin == b""
    assert b".target sm_120" in compiled.ptx
    assert not compiled.ptx.endswith(b"\0")


@with_wheels
def test_both_compilers_work_in_one_process():
    both = [nvrtc.open_nvrtc(major) for major in (12, 13)]
    assert [one.version[0] for one in both] == [12, 13]
    assert both[0].identity != both[1].identity
    assert 90 in both[0].architectures
    assert 50 in both[0].architectures
    assert 50 not in both[1].architectures
    assert nvrtc.open_nvrtc().version == both[1].version  # none is named: the newest


@with_wheels
def test_refusal_names_file_line_macros_and_what_is_wrong():
    with pytest.raises(
        DeviceError, match=r'(?s)^add/add\.cu \(sm_80, FACTOR=nothing\).*add\.cu\(1\).*"nothing" is und'
    ):
        nvrtc.compile(DOUBLES, "add/add.cu", "sm_80", [("FACTOR", "nothing")])


@with_wheels
def test_unknown_architecture_is_refused():
    with pytest.raises(DeviceError, match=r"sm_999.*does not compile(?s:.*)gpu-architecture"):
        nvrtc.compile(DOUBLES, "doubles.cu", "sm_999", [("FACTOR", "2.f")])


@pytest.fixture
def nothing_installed(monkeypatch, tmp_path):
    """A machine without any NVRTC, with an empty site-packages/nvidia and an empty CUDA_PATH to be filled."""
    monkeypatch.setattr(nvrtc_library, "_wheel_folders", lambda major: iter([tmp_path / f"wheel{major}"]))
    monkeypatch.setattr(nvrtc_library, "_TOOLKIT_FOLDERS", ("lib64",))
    monkeypatch.setattr(nvrtc_library.sys, "prefix", str(tmp_path / "prefix"))
    monkeypatch.setenv("CUDA_PATH", str(tmp_path / "toolkit"))
    monkeypatch.delenv("CUDA_HOME", raising=False)
    monkeypatch.setattr(nvrtc_library, "USUAL_TOOLKIT", str(tmp_path / "usual"))
    monkeypatch.setattr(nvrtc_library, "file_name", lambda major: f"libnvrtc-of-nobody.so.{major}")
    return tmp_path


@pytest.mark.parametrize(("major", "extra"), [(12, "cuda12"), (13, "cuda13")])
def test_absent_compiler_is_an_error_that_names_the_extra(nothing_installed, major, extra):
    with pytest.raises(DeviceError, match=rf"CUDA {major}.*not installed.*npresnet\[{extra}\]"):
        nvrtc_library.load_any(major)


def test_absent_compilers_of_both_kinds_name_both_extras(nothing_installed):
    with pytest.raises(DeviceError, match=r"npresnet\[cuda12\].*cuda13"):
        nvrtc_library.load_any()


def test_library_that_does_not_load_is_named(nothing_installed):
    _touch(nothing_installed / "wheel12" / "libnvrtc-of-nobody.so.12", b"no library")
    with pytest.raises(DeviceError, match=r"wheel12.libnvrtc-of-nobody\.so\.12 does not load"):
        nvrtc_library.load_any(12)


def test_wheels_come_before_the_toolkit_and_new_before_old(nothing_installed):
    wheel = _touch(nothing_installed / "wheel12" / "libnvrtc-of-nobody.so.12")
    newer = _touch(nothing_installed / "toolkit" / "lib64" / "libnvrtc-of-nobody.so.13")
    older = _touch(nothing_installed / "toolkit" / "lib64" / "libnvrtc-of-nobody.so.12")
    assert nvrtc_library.find() == (newer, wheel, older)
    assert nvrtc_library.find(12) == (wheel, older)
    assert nvrtc_library.find(13) == (newer,)


def test_names_on_windows():
    assert nvrtc_library.file_name(12, "win32") == "nvrtc64_120_0.dll"
    assert nvrtc_library.file_name(13, "win32") == "nvrtc64_130_0.dll"
    assert nvrtc_library.file_name(13, "linux") == "libnvrtc.so.13"


def test_failing_call_is_told_in_nvrtc_s_words():
    def error_string(status: int) -> bytes:
        return b"NVRTC_ERROR_OUT_OF_MEMORY"

    library = types.SimpleNamespace(nvrtcVersion=lambda *_: 1, nvrtcGetErrorString=error_string)
    with pytest.raises(DeviceError, match=r"fake\.so.*OUT_OF_MEMORY \(1\)"):
        nvrtc.Nvrtc(library, "fake.so")


def _touch(path: Path, content: bytes = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path
