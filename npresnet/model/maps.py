"""The class activation map of one preprocessed image, as `Model.cam` gives it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray

from npresnet.errors import ArchitectureError
from npresnet.model.inputs import as_count
from npresnet.model.prediction import Prediction
from npresnet.network import Network
from npresnet.views.cam import activation_map, class_weight, find_head

Array = NDArray[Any]
Run = Callable[[tuple[str, ...], Array], dict[str, Array]]  # names of modules, x -> their outputs


class ClassMaps:
    """The maps of one network. Raises ArchitectureError unless `views.cam.find_head` finds what they need.

    run     the network's modules for a batch
    scores  how logits become probabilities: "softmax" or "sigmoid"
    """

    def __init__(self, network: Network, run: Run, labels: Sequence[str] | None, scores: str):
        self._pooled, self._layers = find_head(network)
        self._run = run
        self._labels = labels
        self._scores = scores

    def of(self, x: Array, index: int | None) -> Array:
        """(1, C, H, W) -> (H, W) float32 in 0..1, of class `index` or the best. Raises ArchitectureError."""
        result = self._run((self._pooled, self._layers[-1].name), x)
        features, logits = result[self._pooled][0], result[self._layers[-1].name][0]  # (C, h, w), (num_classes,)
        prediction = Prediction(logits, self._labels, 1, scores=self._scores)
        chosen = prediction.index if index is None else as_count(index, "a class index", least=0)
        if chosen >= len(prediction.probabilities):
            raise ArchitectureError(
                f"class index {chosen} is out of range: expected 0 to {len(prediction.probabilities) - 1}"
            )
        if len(prediction.probabilities) == len(logits):
            weight = class_weight(self._layers, chosen)
        else:  # one logit: what speaks for class 1 speaks against class 0
            weight = class_weight(self._layers, 0) * (1 if chosen else -1)
        return activation_map(features, weight, *x.shape[2:])
