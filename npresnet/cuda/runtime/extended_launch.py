"""Launches that CuPy cannot make - clusters, cooperative, overlapping the launch before - by the driver's own call.

    cuLaunchKernelEx(config, function, parameters, extra)

CUDA Driver API, "Execution Control", describes it, CUlaunchConfig and CUlaunchAttribute. Parameters are addresses of
the arguments' bytes, from which the driver copies when the launch is put on the stream, captured or not.
"""

from __future__ import annotations

import ctypes
import functools
from math import prod
from typing import Any, NamedTuple

import numpy as np

from npresnet.cuda.launch import Dim3, Launch
from npresnet.cuda.runtime.driver import open_driver
from npresnet.errors import DeviceError
from npresnet.network import Array

HOPPER = 90
LARGEST_CLUSTER = 8  # blocks that every device with clusters has room for
# CUlaunchAttributeID
COOPERATIVE, CLUSTER_DIMENSION, PROGRAMMATIC_STREAM_SERIALIZATION = 2, 4, 6


class Value(ctypes.Union):
    """CUlaunchAttributeValue: 64 bytes, of which an attribute uses one member."""

    _fields_ = (("cluster", ctypes.c_uint * 3), ("flag", ctypes.c_int), ("room", ctypes.c_uint64 * 8))


class Attribute(ctypes.Structure):
    """CUlaunchAttribute: the value begins 8 bytes after the identifier."""

    _fields_ = (("id", ctypes.c_int), ("value", Value))


class Config(ctypes.Structure):
    """CUlaunchConfig."""

    _fields_ = (
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("shared_bytes", ctypes.c_uint),
        ("stream", ctypes.c_void_p),
        ("attributes", ctypes.POINTER(Attribute)),
        ("attribute_count", ctypes.c_uint),
    )


class ExtendedLaunch(NamedTuple):
    """One such launch but for its stream: `put(stream)` gives CUDA's number of an error, or 0.

    arguments   whose bytes `parameters` points to
    """

    function: int
    config: Config
    parameters: ctypes.Array[ctypes.c_void_p]
    arguments: tuple[Array, ...]

    def put(self, stream: Any) -> int:
        """On a stream of CuPy's."""
        config = Config.from_buffer_copy(self.config)
        config.stream = stream.ptr
        addresses = ctypes.addressof(config), self.function, ctypes.addressof(self.parameters)
        return int(launcher().cuLaunchKernelEx(*addresses, None))


def ready(launch: Launch, args: tuple[Any, ...], function: int) -> ExtendedLaunch:
    """`launch` with its arguments as CUDA takes them, and the driver's handle of its kernel."""
    arguments = tuple(_argument(value) for value in args)
    parameters = (ctypes.c_void_p * len(arguments))(*(value.ctypes.data for value in arguments))
    attributes = _attributes(launch)
    config = Config(
        grid=(ctypes.c_uint * 3)(*launch.grid),
        block=(ctypes.c_uint * 3)(*launch.block),
        shared_bytes=launch.shared_bytes,
        attributes=(Attribute * len(attributes))(*attributes),
        attribute_count=len(attributes),
    )
    return ExtendedLaunch(function, config, parameters, arguments)


def require(launch: Launch, device: str, capability: int) -> None:
    """Raises DeviceError where a GPU of this compute capability cannot launch so, or the cluster does not fit."""
    if (launch.is_clustered or launch.pdl) and capability < HOPPER:
        what = f"in clusters of {launch.cluster} blocks" if launch.is_clustered else "before the one ahead has ended"
        raise DeviceError(
            f"{launch.kernel} is to be launched {what}, which needs compute capability {HOPPER / 10:.1f} or later "
            f"(Hopper); {device} has {capability / 10:.1f}"
        )
    if prod(launch.cluster) > LARGEST_CLUSTER or not _divides(launch.cluster, launch.grid):
        raise DeviceError(
            f"{launch.kernel}: a cluster of {launch.cluster} blocks does not fit the grid {launch.grid}: it divides "
            f"the grid along every axis and has at most {LARGEST_CLUSTER} blocks"
        )


def resident_blocks(function: int, launch: Launch) -> tuple[int, int]:
    """(CUDA's number of an error or 0, how many blocks of a kernel run at once on one multiprocessor)."""
    count = ctypes.c_int()
    threads = prod(launch.block)
    status = launcher().cuOccupancyMaxActiveBlocksPerMultiprocessor(
        ctypes.addressof(count), function, threads, launch.shared_bytes
    )
    return int(status), count.value


@functools.cache
def launcher() -> ctypes.CDLL:
    """The driver, with the signatures of cuda.h. Raises DeviceError where it is older than CUDA 11.8."""
    functions = "cuLaunchKernelEx", "cuOccupancyMaxActiveBlocksPerMultiprocessor"
    driver = open_driver("launches with attributes", "11.8", *functions)
    pointer = ctypes.c_void_p
    driver.cuLaunchKernelEx.argtypes = (pointer, pointer, pointer, pointer)
    driver.cuOccupancyMaxActiveBlocksPerMultiprocessor.argtypes = (pointer, pointer, ctypes.c_int, ctypes.c_size_t)
    return driver


def _attributes(launch: Launch) -> list[Attribute]:
    found = []
    if launch.is_clustered:
        found.append(Attribute(CLUSTER_DIMENSION, Value(cluster=(ctypes.c_uint * 3)(*launch.cluster))))
    if launch.cooperative:
        found.append(Attribute(COOPERATIVE, Value(flag=1)))
    if launch.pdl:
        found.append(Attribute(PROGRAMMATIC_STREAM_SERIALIZATION, Value(flag=1)))
    return found


def _argument(value: Any) -> Array:
    """The bytes of one argument, in an array of one item; what CuPy's kernels take, as `Launch` says."""
    if not isinstance(value, (np.generic, np.ndarray)) or value.size != 1:
        raise TypeError(f"a kernel's argument is a NumPy number or an array of one item, got {value!r}")
    return value if isinstance(value, np.ndarray) else np.array([value])


def _divides(cluster: Dim3, grid: Dim3) -> bool:
    return all(one > 0 and blocks % one == 0 for one, blocks in zip(cluster, grid, strict=True))
