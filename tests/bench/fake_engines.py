"""Engines that behave and misbehave in known ways. Their `model` is the mean over H and W: (N, C, H, W) -> (N, C).

Each is named "tests.bench.fake_engines:<function>" in a registry and lives in a worker process, as real ones do. A file
named by the option `diary` gets a line for every call.
"""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path

import numpy as np

from npresnet.bench.engines import Engine, Job, Loaded
from npresnet.bench.isa import Report

VERSIONS = {"fake": "1.0"}
LOADING_S = 0.02  # at least, of the engine called npresnet


def engine(name: str, *needs: str, loader: str | None = None) -> Engine:
    return Engine(name, f"the {name} one", needs, f"{__name__}:{loader or name}")


def mean(x: np.ndarray) -> np.ndarray:
    return x.mean((2, 3))


def _loaded(job: Job, name: str, run) -> Loaded:
    def noted(x):
        if "diary" in job.options:
            with Path(job.options["diary"]).open("a") as diary:
                diary.write(f"{name} {len(x)}\n")
        return run(x)

    return Loaded(lambda x: x, noted, VERSIONS)


def npresnet(job: Job) -> Loaded:
    print("chatter on stdout that must not reach the parent")
    os.system("echo so does that of a child")
    time.sleep(LOADING_S)
    return _loaded(job, "npresnet", mean)


def honest(job: Job) -> Loaded:
    return _loaded(job, "honest", mean)


def slow(job: Job) -> Loaded:
    def run(x):
        time.sleep(0.02)
        return mean(x)

    return _loaded(job, "slow", run)


def wrong(job: Job) -> Loaded:
    return _loaded(job, "wrong", lambda x: mean(x) * 1.001)


def depends_on_batch(job: Job) -> Loaded:
    return _loaded(job, "depends_on_batch", lambda x: mean(x) * np.float32(1 + 1e-6 * (len(x) - 1)))


def nan(job: Job) -> Loaded:
    return _loaded(job, "nan", lambda x: mean(x) * np.nan)


def misshapen(job: Job) -> Loaded:
    return _loaded(job, "misshapen", lambda x: mean(x)[:, :1])


def raises(job: Job) -> Loaded:
    raise OSError(f"cannot open {job.folder}/secret.bin")


def dies_loading(job: Job) -> Loaded:
    print("out of luck")
    os._exit(3)


def dies_later(job: Job) -> Loaded:
    """Passes the check, then dies in the first call that is timed."""
    calls = []

    def run(x):
        calls.append(1)
        if len(calls) > 8 // job.batch:
            os.abort()
        return mean(x)

    return _loaded(job, "dies_later", run)


def _saying(job: Job, name: str, **parts: str) -> Loaded:
    return dataclasses.replace(_loaded(job, name, mean), report=lambda x: Report(parts, {"pooling": "x_avx512"}))


def obeys(job: Job) -> Loaded:
    """Says what its environment tells it."""
    return _saying(job, "obeys", kernels=f"jit_{os.environ.get('ONEDNN_MAX_CPU_ISA', 'AVX512').lower()}")


def disobeys(job: Job) -> Loaded:
    return _saying(job, "disobeys", kernels="jit_avx2, jit_avx512_core")


def hangs(job: Job) -> Loaded:
    return _loaded(job, "hangs", lambda x: time.sleep(600))
