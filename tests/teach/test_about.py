"""What pages say about a model's answer."""

from __future__ import annotations

import numpy as np
import pytest

import npresnet
from npresnet.teach.about import predict
from tests.support.small import batch


def test_the_best_classes_are_those_of_a_prediction():
    with npresnet.build("cifar_resnet8", num_classes=1, labels=["real", "fake"], threads=1) as model:
        logit = float(model(batch(1))[0, 0])
        (first, score), (second, rest) = predict(model, batch(1))
    assert (first, second) == (("fake", "real") if logit >= 0 else ("real", "fake"))
    assert score == pytest.approx(1 / (1 + np.exp(-abs(logit))), rel=1e-6)
    assert score + rest == pytest.approx(1)
