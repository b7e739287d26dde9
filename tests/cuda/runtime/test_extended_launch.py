"""Launches in clusters, cooperative, overlapping: the structs as CUDA lays them out, and from Python to the kernel."""

from __future__ import annotations

import ctypes
import subprocess

import numpy as np
import pytest

from npresnet import DeviceError, cuda
from npresnet.cuda.activation import RELU
from npresnet.cuda.elements import ELEMENTS
from npresnet.cuda.geometry import ConvShape
from npresnet.cuda.launchers import activation, conv2d_direct, conv2d_wgmma_tma
from npresnet.cuda.runtime import driver, extended_launch
from npresnet.cuda.runtime.extended_launch import Attribute, Config
from npresnet.cuda.runtime.kernels import Kernels
from npresnet.window import Window
from tests.emulator import build, emulator

pytestmark = emulator.needed
HALF = ELEMENTS["float16"]
# as the CUDA Driver API describes them
STRUCTS = """
#include <stddef.h>
#include <stdio.h>
typedef union { char pad[64]; int cooperative; struct { unsigned x, y, z; } clusterDim;
                struct { void* event; int flags, triggerAtBlockStart; } programmaticEvent;
                int programmaticStreamSerializationAllowed; } Value;
typedef struct { int id; char pad[8 - sizeof(int)]; Value value; } Attribute;
typedef struct { unsigned gridDimX, gridDimY, gridDimZ, blockDimX, blockDimY, blockDimZ, sharedMemBytes; void* hStream;
                 Attribute* attrs; unsigned numAttrs; } Config;
int main() {
  printf("%zu %zu %zu %zu %zu %zu %zu ", offsetof(Config, gridDimX), offsetof(Config, blockDimX),
         offsetof(Config, sharedMemBytes), offsetof(Config, hStream), offsetof(Config, attrs),
         offsetof(Config, numAttrs), sizeof(Config));
  printf("%zu %zu %zu", offsetof(Attribute, id), offsetof(Attribute, value), sizeof(Attribute));
}
"""


def test_structs_lie_as_a_c_compiler_lays_them(tmp_path):
    (tmp_path / "structs.c").write_text(STRUCTS)
    subprocess.run([str(build.compiler()), "-x", "c++", "structs.c", "-o", "structs"], cwd=tmp_path, check=True)
    printed = subprocess.run([str(tmp_path / "structs")], capture_output=True, text=True, check=True).stdout
    fields = (Config.grid, Config.block, Config.shared_bytes, Config.stream, Config.attributes, Config.attribute_count)
    offsets = [*(field.offset for field in fields), ctypes.sizeof(Config)]
    offsets += [Attribute.id.offset, Attribute.value.offset, ctypes.sizeof(Attribute)]
    assert list(map(int, printed.split())) == offsets == [0, 12, 24, 32, 40, 48, 56, 0, 8, 72]


class Clamp:
    """ReLU of 4096 numbers in place, by four blocks, launched in the way of `how`."""

    def __init__(self, stand_in, **how):
        self.gpu = cuda.open_gpu("cuda")
        self.x = stand_in.asarray(np.arange(-2048, 2048, dtype=np.float32))
        size, address = self.x.size, self.x.data.ptr
        (launch,) = activation.launches(size, ELEMENTS["float32"], RELU, x=address, y=address)
        self.launch = launch._replace(**how)
        self.stream = self.gpu.stream()

    def run(self):
        with self.gpu.active():
            self.gpu.run(self.gpu.bind([self.launch]), self.stream)
            self.stream.synchronize()

    def check(self):
        """Looked at as it lies: what waits on another stream than its own has not run."""
        np.testing.assert_array_equal(self.x._view, np.maximum(np.arange(-2048, 2048, dtype=np.float32), 0))


WAYS = {
    "cluster": ({"cluster": (2, 1, 1)}, {4: (2, 1, 1)}),
    "cooperative": ({"cooperative": True}, {2: (1,)}),
    "pdl": ({"pdl": True}, {6: (1,)}),
    "all": ({"cluster": (4, 1, 1), "cooperative": True, "pdl": True}, {2: (1,), 4: (4, 1, 1), 6: (1,)}),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_driver_gets_what_the_launch_says(gpus, way):
    stand_in, (how, attributes) = gpus(), WAYS[way]
    clamp = Clamp(stand_in, **how)
    assert clamp.launch.grid == (4, 1, 1)
    clamp.run()
    clamp.check()
    assert stand_in.libcuda.launched == [attributes]


@pytest.mark.parametrize("how", [{"cluster": (8, 1, 1)}, {"cooperative": True}], ids=str)
def test_the_most_that_fits_is_launched(gpus, how):
    """Clusters of 8 blocks; 8 blocks at once on the only multiprocessor."""
    clamp = Clamp(gpus(multiprocessors=1), grid=(8, 1, 1), **how)
    clamp.run()
    clamp.check()


def test_arguments_live_as_long_as_the_launch(gpus):
    clamp = Clamp(gpus(), pdl=True)
    (call,) = clamp.gpu.bind([clamp.launch])
    assert call.extended is not None
    assert [argument.ctypes.data for argument in call.extended.arguments] == list(call.extended.parameters)


def test_plain_launches_are_cupy_s(gpus):
    stand_in = gpus()
    clamp = Clamp(stand_in)
    clamp.run()
    clamp.check()
    assert stand_in.libcuda.launched == []


def test_a_captured_one_is_replayed(gpus):
    clamp = Clamp(gpus(), cluster=(2, 1, 1))
    clamp.run()
    with clamp.gpu.active():
        graph = clamp.gpu.capture(clamp.gpu.bind([clamp.launch]), clamp.stream)
        clamp.x._view[...] = np.arange(-2048, 2048)
        graph.launch(clamp.stream)
        clamp.stream.synchronize()
    clamp.check()


@pytest.mark.parametrize("launcher", [conv2d_direct, conv2d_wgmma_tma])
def test_structs_and_tensor_maps_are_arguments(gpus, launcher):
    """The same bits as a plain launch leaves."""
    stand_in = gpus()
    gpu, shape, rng = cuda.open_gpu("cuda"), ConvShape(1, 8, 8, 64, 64, Window.of(3, 1, 1)), np.random.default_rng(0)
    tile = launcher.tiles(shape, HALF, 90)[0]
    weight = launcher.pack(rng.standard_normal((64, 64, 3, 3)), HALF)
    x = rng.standard_normal((1, 8, 8, 64)).astype(np.float16).view(np.uint16)
    inputs = [stand_in.asarray(array) for array in (x, weight, np.zeros(64, np.float32))]
    addresses = dict(zip(("x", "weight", "bias"), (array.data.ptr for array in inputs), strict=True))
    found = []
    for cooperative in (False, True):
        y, stream = stand_in.asarray(np.zeros((64, 64), np.uint16)), gpu.stream()
        launches = launcher.launches(shape, HALF, tile, **addresses, residual=0, y=y.data.ptr, workspace=0, tickets=0)
        with gpu.active():
            gpu.run(gpu.bind([launch._replace(cooperative=cooperative) for launch in launches]), stream)
            stream.synchronize()
        found.append(y.get())
    assert len(stand_in.libcuda.launched) == 1
    assert found[0].any()
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize(
    ("capability", "how", "words"),
    [
        (80, {"cluster": (2, 1, 1)}, r"activation_vector .*clusters of \(2, 1, 1\).* 9.0 or later.*cuda:0 .* has 8.0"),
        (89, {"pdl": True}, "before the one ahead has ended.* 9.0 or later.* has 8.9"),
        (90, {"cluster": (3, 1, 1)}, r"a cluster of \(3, 1, 1\) blocks does not fit the grid \(4, 1, 1\)"),
        (90, {"cluster": (0, 1, 1)}, "does not fit the grid"),
        (90, {"cluster": (16, 1, 1), "grid": (16, 1, 1)}, "at most 8 blocks"),
        (90, {"cooperative": True, "grid": (300, 1, 1), "shared_bytes": 100 << 10}, "has room for 264, 2 on each"),
        (75, {"cooperative": True, "grid": (2000, 1, 1)}, "all of its 2000 blocks running at once; .* for 1056, 8 on"),
    ],
)
def test_what_a_gpu_cannot_do_is_said_beforehand(gpus, capability, how, words):
    clamp = Clamp(gpus(capability=capability), **how)
    with pytest.raises(DeviceError, match=words):
        clamp.run()
    assert clamp.gpu.failed is None


@pytest.mark.parametrize(
    ("capability", "how", "words"),
    [
        (80, {"cluster": (2, 1, 1)}, "fails: CUDA_ERROR_NOT_SUPPORTED"),
        (90, {"cluster": (3, 1, 1)}, "fails: CUDA_ERROR_INVALID_VALUE"),
        (90, {"cooperative": True, "grid": (2000, 1, 1)}, "fails: CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE"),
    ],
)
def test_what_the_driver_refuses_is_told_by_its_name(gpus, monkeypatch, capability, how, words):
    monkeypatch.setattr(extended_launch, "require", lambda *_: None)
    monkeypatch.setattr(Kernels, "_require_residence", lambda *_: None)
    clamp = Clamp(gpus(capability=capability), **how)
    with pytest.raises(DeviceError, match=words):
        clamp.run()
    assert clamp.gpu.failed is None


def test_a_sticky_error_of_the_driver_s_is_one(gpus):
    stand_in = gpus()
    clamp = Clamp(stand_in, pdl=True)
    stand_in.failures.plan("launch", 719)
    with pytest.raises(DeviceError, match=r"has failed \(CUDA_ERROR_LAUNCH_FAILED.*restart it"):
        clamp.run()


def test_fields_in_the_wrong_place_are_noticed(gpus, monkeypatch):
    """A value that follows its identifier without a gap."""

    class Packed(ctypes.Structure):
        _pack_ = 4
        _fields_ = (("id", ctypes.c_int), ("value", extended_launch.Value), ("end", ctypes.c_int))

    class Other(ctypes.Structure):
        _fields_ = (*Config._fields_[:4], ("attributes", ctypes.POINTER(Packed)), Config._fields_[5])

    monkeypatch.setattr(extended_launch, "Attribute", Packed)
    monkeypatch.setattr(extended_launch, "Config", Other)
    with pytest.raises(DeviceError, match="INVALID_VALUE"):
        Clamp(gpus(), cluster=(2, 1, 1)).run()


@pytest.mark.parametrize("wrong", [3, None, "x", np.zeros(2, np.int32)], ids=repr)
def test_arguments_that_are_none_are_refused(gpus, wrong):
    clamp = Clamp(gpus(), pdl=True)
    clamp.launch = clamp.launch._replace(args=(*clamp.launch.args[:-1], wrong))
    with pytest.raises(TypeError, match="a kernel's argument is"):
        clamp.run()


def test_drivers_that_are_absent_or_old(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    with pytest.raises(DeviceError, match=r"too old for launches with attributes, which came with CUDA 11\.8"):
        driver.open_driver("launches with attributes", "11.8", "cuLaunchKernelEx")

    def absent(name: str) -> None:
        raise OSError("no such file")

    monkeypatch.setattr(ctypes, "CDLL", absent)
    with pytest.raises(DeviceError, match=f"need the NVIDIA driver, and {driver.NAME} does not load"):
        driver.open_driver("launches with attributes", "11.8", "cuLaunchKernelEx")
