"""What each library says of the vector instructions that it uses: its own words, as an `isa.Report`."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from npresnet.bench.isa import Report, numpy_dispatched
from npresnet.bench.machine import blas_libraries


def of_numpy() -> Report:
    """The core type of each BLAS, and the CPU features that NumPy dispatches to."""
    libraries = [str(library.get("architecture", "unknown")) for library in blas_libraries()]
    features = [name for name, used in numpy_dispatched().items() if used]
    return Report({"OpenBLAS": _joined(libraries), "NumPy": _joined(features)})


def of_torch(torch: Any, call: Callable[[], object]) -> Report:
    """ATen's capability, oneDNN's and MKL's verbose lines of one call: of MKL only its name for the processor."""
    with _printed() as lines, _verbose(torch.backends, "mkldnn"), _verbose(torch.backends, "mkl"):
        call()
    onednn = [line.split(",") for line in lines if line.startswith("onednn_verbose")]
    limits = [words[-1].partition(":")[2] for words in onednn if words[-1].startswith("isa:")]
    # onednn_verbose,v1,primitive,exec,cpu,convolution,jit:avx2,...
    primitives = [words[words.index("exec") + 3] for words in onednn if "exec" in words]
    mkl = [found[1] for line in lines if (found := re.search(r"MKL_VERBOSE .*\(R\) 64 architecture (.*?),", line))]
    return Report(
        {
            "ATen": torch.backends.cpu.get_cpu_capability(),
            "oneDNN": _joined(limits),
            "oneDNN's primitives": _joined(primitives),
        },
        {"MKL": _joined(mkl)} if mkl else {},
    )


def of_inductor(torch: Any, call: Callable[[], object]) -> Report:
    """Those of torch, and the vectors and -march for which torch.compile generates and compiles C++."""
    report = of_torch(torch, call)
    isa = str(importlib.import_module("torch._inductor.cpu_vec_isa").pick_vec_isa())
    march = getattr(importlib.import_module("torch._inductor.config").cpp, "march", None) or "native"
    return Report({**report.main, "inductor": f"{isa}, -march={march}"}, report.aside)


def of_openvino(compiled: Any) -> Report:
    """The primitives of its runtime model: convolutions, and aside from them layers with wider vectors or MLAS."""
    types: dict[str, list[str]] = {}
    for node in compiled.get_runtime_model().get_ops():
        info = node.get_rt_info()
        types.setdefault(_text(info["layerType"]), []).append(_text(info["primitiveType"]))
    convolutions = types.pop("Convolution", [])
    own = {layer: [word for word in words if re.search("avx512|mlas", word)] for layer, words in types.items()}
    aside = {layer: _joined(words) for layer, words in own.items() if words}
    return Report({"Convolution": _joined(convolutions)}, aside)


def _text(value: Any) -> str:
    return str(getattr(value, "value", value))


def _joined(words: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(words))


def _verbose(backends: Any, name: str) -> contextlib.AbstractContextManager[Any]:
    """The library's verbose lines on stdout while the block runs; nothing where torch was built without it."""
    backend = getattr(backends, name)
    if not backend.is_available():
        return contextlib.nullcontext()
    on: contextlib.AbstractContextManager[Any] = backend.verbose(backend.VERBOSE_ON)
    return on


@contextlib.contextmanager
def _printed() -> Iterator[list[str]]:
    """A list of the lines that C libraries print on file descriptor 1 in the block, filled at its end."""
    lines: list[str] = []
    kept = os.dup(1)
    with tempfile.TemporaryFile() as file:
        _flush()
        os.dup2(file.fileno(), 1)
        try:
            yield lines
        finally:
            _flush()
            os.dup2(kept, 1)
            os.close(kept)
            file.seek(0)
            lines += file.read().decode(errors="replace").splitlines()


def _flush() -> None:
    """C's own buffers, which Python does not know."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # Windows: no library by that name
        ctypes.CDLL(None).fflush(None)
