"""Small networks of families with a topology of their own on an emulated GPU, within its gate against float64."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from npresnet import ops, passes
from npresnet.arch.families import nfnet, preact, resnetv2, senet, tresnet
from npresnet.arch.family import assemble
from npresnet.arch.initialiser import Initialiser
from tests.cuda.running import assert_within_gate, compiled
from tests.emulator import emulator
from tests.support.small import batch

pytestmark = emulator.needed

LAYERS = {"layers": [1, 1], "num_classes": 5, "in_channels": 3}
NFNET = {
    "channels": [16, 24],
    "stem_type": "deep",
    "stem_channels": 16,
    "group_size": 8,
    "extra_conv": True,
    "features": 24,
    "attention": "se",
    "skipinit": True,
    "activation": "gelu",
    "gamma_in_activation": True,
    "same_padding": True,
}
BIT = {"norm": "group_norm", "weight_standardisation": True, "pool_border": "zeros", "block": "BasicBlock"}
WIDE = {"names": "deepmind", "projection": "shortcut", "final_norm": "batchnorm", "base": 8, "stem_channels": 4}
CASES: dict[str, tuple[ModuleType, dict[str, Any]]] = {
    "nfnet": (nfnet, NFNET),
    "BiT": (resnetv2, BIT),
    "senet": (senet, {"block": "SEResNetBlock"}),
    "preact": (preact, {**WIDE, "activation": "silu"}),
    "tresnet": (tresnet, {"channels": 8}),
}


@pytest.mark.parametrize("name", CASES)
def test_within_the_gate(gpus, name):
    """At an odd size, where SAME padding differs from that at an even one."""
    gpus()
    family, options = CASES[name]
    network = assemble(family, Initialiser(3), {**LAYERS, **options})
    x = batch(1, size=24 if name in ("preact", "tresnet") else 27)
    found = compiled(passes.optimize(network), "float32")(x)["logits"]
    assert_within_gate(found, ops.run(network, x.astype(np.float64))["logits"], "float32")
