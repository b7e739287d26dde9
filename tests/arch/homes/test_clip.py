"""CLIP's file holds a network for texts as well, which is left out by its names."""

from __future__ import annotations

import numpy as np
import pytest

from npresnet import arch
from npresnet.errors import ArchitectureError
from npresnet.images import preset


def array(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


TEXT = {
    "positional_embedding": array(77, 8),
    "text_projection": array(8, 6),
    "logit_scale": array(),
    "token_embedding.weight": array(20, 8),
    "ln_final.weight": array(8),
    "transformer.resblocks.0.attn.in_proj_weight": array(24, 8),
}


@pytest.fixture(scope="module")
def visual():
    """A tower of one block a stage and 64 channels."""
    tensors = arch.random_tensors("clip_rn50")
    kept = {name: a for name, a in tensors.items() if not name.startswith("layer") or name.split(".")[1] == "0"}
    return {f"visual.{name}": a for name, a in kept.items()}


def test_the_network_for_images_is_built(visual):
    network, config = arch.build(visual | TEXT)
    assert dict(network.outputs) == {"embedding": "attnpool"}
    facts = ("family", "prefix", "layers", "embedding", "image_size", "num_classes", "labels")
    assert [config.value(fact) for fact in facts] == ["clip", "visual.", [1, 1, 1, 1], 1024, 224, None, None]
    assert "transformer" in config.value("ignored")
    assert "CLIP's tower of texts" in config["ignored"].note
    assert config.ambiguous() == {}


def test_preprocessing_is_clips(visual):
    _, config = arch.build(visual | TEXT)
    chosen = preset(config.value("preprocess"))
    assert (chosen.resize, chosen.crop, chosen.interpolation) == (224, 224, "bicubic")
    assert chosen.mean == pytest.approx((0.4815, 0.4578, 0.4082), abs=1e-4)


def test_anything_else_beside_it_is_refused(visual):
    with pytest.raises(ArchitectureError, match=r"another\.weight"):
        arch.build(visual | TEXT | {"another.weight": array(3)})


def test_positions_that_are_no_square_are_refused(visual):
    name = "visual.attnpool.positional_embedding"
    with pytest.raises(ArchitectureError, match="49 rows"):
        arch.build(visual | {name: visual[name][:49]})
