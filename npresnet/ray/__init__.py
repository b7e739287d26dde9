"""Many machines: classification on a Ray cluster (extra `ray`: Ray with its Data and Serve, and pyarrow).

    put         weights into the cluster's object store, once, where every worker maps them
    Predictor   batches in, tables out: for `ray.data`'s `map_batches`
    predict     a folder, a pattern or a bucket to Parquet; what `npresnet predict SOURCE --ray -o OUT` runs
    deployment  the HTTP server of `npresnet serve` as a Ray Serve application

Reading order: `weights` (a model's way to the workers), `table` (the columns), `predictor`, then for `predict`
`addresses` and `sources` (which files), `chunks`, `worker` (one process), `output` with `place`, `rows` and `replacing`
(parts and the file made of them), `known` (which pictures have a row), `cluster` (who works) and `job` (who does what,
and what happens if one dies); `serving`.

Inside this package `import ray` is the library: imports are absolute.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from npresnet.ray.job import predict
    from npresnet.ray.predictor import Predictor
    from npresnet.ray.serving import deployment
    from npresnet.ray.weights import put

__all__ = ["Predictor", "deployment", "predict", "put"]

_HOME = {"Predictor": "predictor", "deployment": "serving", "predict": "job", "put": "weights"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
