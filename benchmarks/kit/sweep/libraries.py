"""Imports everything that a job needs, once, before processes are forked: one thread each."""

from __future__ import annotations

import os

os.environ["NPRESNET_PREPARED"] = "0"  # no packed weights in the user's cache folder
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

from tests.support.torchvision_import import import_timm  # noqa: E402  after the environment

import_timm()
