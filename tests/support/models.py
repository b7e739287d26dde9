"""A model of any network, to test tables, pages and features."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import npresnet
from npresnet.config import Decision
from npresnet.model.metadata import Source
from npresnet.model.model import Model
from npresnet.network import Network

UNDECIDED = Decision(None, "default")


def model_running(network: Network, size: int, **options: Any) -> Model:
    """A model without a classifier, which runs this network on photos of size x size, three channels.

    options  as `npresnet.build` takes them: threads, device, dtype, ...
    """
    like = _model(size, **options)
    config = like.config.with_decisions(num_classes=UNDECIDED, arch=Decision("a small network", "caller"))
    return Model(network, config, like._preprocess, None, {}, Source("a test"))


@lru_cache(maxsize=2)
def _model(size: int, **options: Any) -> Model:
    return npresnet.build("cifar_resnet20", num_classes=10, preprocess={"resize": size, "crop": size}, **options)
