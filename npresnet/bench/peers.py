"""How each engine is loaded, following its own documentation for latency on a CPU; float32 throughout.

Each function imports its library itself and maps a Job to a Loaded (see `engines`).
"""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from npresnet.bench import words
from npresnet.bench.engines import Job, Loaded

if TYPE_CHECKING:
    import torch

ONNX = "model.onnx"


def ours(job: Job) -> Loaded:
    """npresnet, from the weight file."""
    import npresnet

    model = npresnet.load(job.model, threads=job.threads, **job.options)
    versions = {"npresnet": npresnet.__version__, "numpy": np.__version__}
    return Loaded(feed=_unchanged, run=model, versions=versions, report=lambda x: words.of_numpy())


def ours_fast(job: Job) -> Loaded:
    """npresnet with fast=True."""
    return ours(replace(job, options={**job.options, "fast": True}))


def torch_eager(job: Job) -> Loaded:
    """PyTorch as most programs use it: eager, NCHW."""
    torch, module, versions = _torch_module(job)
    run = _without_gradient(torch, module)
    return Loaded(torch.from_numpy, run, versions, lambda x: words.of_torch(torch, lambda: run(x)))


def torch_channels_last(job: Job) -> Loaded:
    """PyTorch eager with weights and input in NHWC memory, which its oneDNN kernels prefer."""
    torch, module, versions = _torch_module(job)
    has_clips = any(parameter.ndim == 5 for parameter in module.parameters())
    order = torch.channels_last_3d if has_clips else torch.channels_last
    module = module.to(memory_format=order)

    def feed(x: np.ndarray) -> Any:
        return torch.from_numpy(x).contiguous(memory_format=order)

    run = _without_gradient(torch, module)
    return Loaded(feed, run, versions, lambda x: words.of_torch(torch, lambda: run(x)))


def torch_compile(job: Job) -> Loaded:
    """torch.compile (inductor) with freezing: constant weights, folded BatchNorm, prepacked oneDNN layouts."""
    torch, module, versions = _torch_module(job)
    inductor: Any = importlib.import_module("torch._inductor.config")
    inductor.freezing = True
    inductor.compile_threads = 1  # no helper processes beside the measured one
    run = _without_gradient(torch, torch.compile(module, dynamic=False))
    return Loaded(torch.from_numpy, run, versions, lambda x: words.of_inductor(torch, lambda: run(x)))


def onnxruntime(job: Job) -> Loaded:
    """ONNX Runtime's CPU provider with all graph optimisations, the batch fixed before they run."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = job.threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_free_dimension_override_by_name("batch", job.batch)
    session = ort.InferenceSession(str(job.folder / ONNX), options, providers=["CPUExecutionProvider"])
    (name,) = [value.name for value in session.get_inputs()]
    return Loaded(_unchanged, lambda x: session.run(None, {name: x})[0], {"onnxruntime": ort.__version__})


def openvino(job: Job) -> Loaded:
    """OpenVINO's CPU plugin tuned for latency, in float32, shapes fixed, without copies of input and output."""
    import openvino as ov

    core = ov.Core()
    model = core.read_model(job.folder / ONNX)
    model.reshape([job.batch, *list(model.input(0).partial_shape)[1:]])
    settings = {
        "INFERENCE_NUM_THREADS": job.threads,
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
    }
    compiled = core.compile_model(model, "CPU", settings)
    request = compiled.create_infer_request()

    def run(x: np.ndarray) -> Any:
        return request.infer({0: x}, share_inputs=True, share_outputs=True)[0]

    versions = {"openvino": ov.__version__.split("-")[0]}
    return Loaded(_unchanged, run, versions, lambda x: words.of_openvino(compiled))


def _torch_module(job: Job) -> tuple[Any, torch.nn.Module, dict[str, str]]:
    """torch, the model in its own code or else as torch's layers, and the versions of both."""
    import torch

    from npresnet.bench import originals, recipe, torch_graph

    torch.set_num_threads(job.threads)
    torch.set_num_interop_threads(1)
    original = originals.load(job.folder, job.model)
    if original is None:
        return torch, torch_graph.build(recipe.read(job.folder)), {"torch": torch.__version__}
    home, module = original
    return torch, module, {"torch": torch.__version__, home: originals.version(home)}


def _without_gradient(torch: Any, module: Any) -> Any:
    def run(x: Any) -> Any:
        with torch.inference_mode():
            return module(x)

    return run


def _unchanged(x: np.ndarray) -> np.ndarray:
    return x
