"""What an error of CUDA means for what comes after it, and how to tell people.

After most errors CUDA works on: there was no memory, or an argument was wrong. Others are sticky: the GPU met them
while it ran a kernel, and from then on every call gives the same error, to the end of the process.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from npresnet.errors import DeviceError

OUT_OF_MEMORY = 2
# "To continue using CUDA, the process must be terminated and relaunched", says the description of cudaError_t in the
# CUDA Runtime API of all but 214, 220 and 709, which leave a context that cannot be used either. The driver has the
# same numbers.
STICKY = frozenset(
    {
        214,  # an ECC error of the memory that could not be corrected
        220,  # the same of NVLink
        226,  # contained
        700,  # illegal address
        702,  # launch timeout
        709,  # the context is destroyed
        710,  # assert
        714,  # hardware stack error
        715,  # illegal instruction
        716,  # misaligned address
        717,  # invalid address space
        718,  # invalid program counter
        719,  # launch failure
        721,  # tensor memory leak
        810,  # the client of MPS was terminated
        911,  # external device
    }
)
WAYS_OUT = {
    3: "CUDA does not survive a fork: start processes with multiprocessing's method 'spawn'",  # initialization error
    46: "another process may hold it alone: nvidia-smi -q -d COMPUTE shows its mode, nvidia-smi who uses it",
    222: "the driver is older than the compiler NVRTC: update the driver",  # unsupported PTX version
    802: "on machines with NVSwitch the service nvidia-fabricmanager has to run",  # system not ready
    803: "the driver was updated while it was in use: restart the machine",  # system driver mismatch
    804: "a CUDA compatibility package (cuda-compat) is in the way of the driver",
}


def status_of(error: Exception) -> int:
    """CUDA's number of one of CuPy's errors."""
    return int(getattr(error, "status", 0))


def explained(error: Exception) -> str:
    """The error with the way out of it, if there is one to tell."""
    way_out = WAYS_OUT.get(status_of(error))
    return f"{error}. {way_out[0].upper()}{way_out[1:]}" if way_out else str(error)


@contextmanager
def host_memory_errors() -> Iterator[None]:
    """Raise the host's MemoryError as a DeviceError. The model stays usable."""
    try:
        yield
    except MemoryError:
        raise DeviceError(
            "the computer (not the GPU) has no memory left for these images and their results. The model can still be "
            "used: give fewer images at a time, or smaller ones"
        ) from None
