"""scores=: how logits become probabilities, from the file to the prediction and back into a file."""

from __future__ import annotations

import numpy as np
import pytest

import npresnet
from npresnet import arch
from npresnet.config import Decision
from npresnet.model.decisions import decide_labels
from tests.support import loaded
from tests.support.small import ARCH, picture, write_pictures


def load(path, **options):
    """With the preprocessing told: the number of classes leaves it open for a 3x3 stem."""
    return loaded.load(path, **{"preprocess": "cifar10", **options})


@pytest.fixture
def one_logit(tmp_path):
    path = tmp_path / "one.npz"
    np.savez(path, **arch.random_tensors(ARCH, num_classes=1))
    return path


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.asarray(logits, np.float64)))


def test_one_logit_is_a_sigmoid(one_logit):
    with load(one_logit, labels=["real", "fake"]) as model:
        assert model.config["scores"] == Decision("sigmoid", "inferred", model.config["scores"].note)
        logit = model(model.preprocess(picture()))[0, 0]
        prediction = model.predict(picture())
        assert prediction.probabilities == pytest.approx([sigmoid(-logit), sigmoid(logit)], rel=1e-6)
        assert prediction.index == int(logit >= 0)
        assert prediction.label == ("real", "fake")[prediction.index]


def test_one_label(one_logit):
    with load(one_logit, labels=["fake"]) as model:
        logit = model(model.preprocess(picture()))[0, 0]
        prediction = model.predict(picture())
        assert (prediction.label, prediction.index) == ("fake", 0)
        assert prediction.score == pytest.approx(sigmoid(logit), rel=1e-6)


def test_streams_and_batches_have_the_scores_of_single_images(one_logit, tmp_path):
    paths = write_pictures(tmp_path / "pictures", 5)
    with load(one_logit) as model:
        single = [model.predict(path) for path in paths]
        assert len({prediction.index for prediction in single} | {0, 1}) == 2
        for found in (model.predict(paths, batch_size=2), [result for _, result in model.stream(paths, batch_size=3)]):
            assert [p.to_dict() for p in found] == [p.to_dict() for p in single]


def test_several_sigmoids(tmp_path):
    np.savez(tmp_path / "three.npz", **arch.random_tensors(ARCH, num_classes=3))
    with load(tmp_path / "three.npz", scores="sigmoid", labels=["sun", "rain", "wind"]) as model:
        assert model.config["scores"].origin == "caller"
        prediction = model.predict(picture())
        np.testing.assert_allclose(prediction.probabilities, sigmoid(prediction.logits), rtol=1e-6)
        assert [c.index for c in prediction.top] == np.argsort(-prediction.logits).tolist()


def test_scores_are_kept_in_the_file(one_logit, tmp_path):
    npresnet.convert(one_logit, tmp_path / "copy.npz", labels=["real", "fake"], preprocess="cifar10")
    with load(tmp_path / "copy.npz") as model:
        assert (model.config["scores"].value, model.config["scores"].origin) == ("sigmoid", "file")
        assert model.labels == ["real", "fake"]
    with npresnet.build(ARCH, num_classes=4, scores="sigmoid", threads=1) as model:
        model.save(tmp_path / "four.npz")
        right = model.predict(picture()).to_dict()
    with load(tmp_path / "four.npz") as model:
        assert (model.config["scores"].value, model.config["scores"].origin) == ("sigmoid", "file")
        assert model.predict(picture()).to_dict() == right
    with load(tmp_path / "four.npz", scores="softmax") as model:
        assert model.predict(picture()).probabilities.sum() == pytest.approx(1)


def test_other_values_are_refused(one_logit):
    with pytest.raises(npresnet.ArchitectureError, match="option scores must be 'softmax' or 'sigmoid', got 'logits'"):
        load(one_logit, scores="logits")
    with pytest.raises(npresnet.ArchitectureError, match=r"expected 1 or 2 labels.*got 3"):
        load(one_logit, labels=["a", "b", "c"])


# --- names in the file -----------------------------------------------------------------------------------------------

CIFAR = Decision("cifar10", "default", "by custom")
TEN = [f"digit {i}" for i in range(10)]


def named(names: list[str]) -> dict[str, object]:
    return {"labels": names, "labels_from": "classes"}


def test_names_in_the_file_win_over_built_in_ones():
    decision, names = decide_labels(None, None, CIFAR, 10, named(TEN))
    assert (decision.value, decision.origin, names) == (TEN, "file", TEN)
    assert decide_labels(None, None, CIFAR, 10)[0] == CIFAR


def test_the_caller_wins_over_names_in_the_file():
    given = TEN[::-1]
    assert decide_labels(given, None, CIFAR, 10, named(TEN)) == (Decision(given, "caller"), given)


def test_a_wrong_number_of_names_leaves_no_names():
    """Neither are the built-in ones right: ten outputs of which nine were trained."""
    decision, names = decide_labels(None, None, CIFAR, 10, named(TEN[:9]))
    assert names is None
    assert (decision.value, decision.origin) == (None, "file")
    assert "do not fit its 10 outputs: classes has 9: classes are named by index" in decision.note


def test_two_names_in_the_file_of_one_logit():
    nothing = Decision(None, "default")
    two = named(["real", "fake"])
    assert decide_labels(None, None, nothing, 1, two, "sigmoid")[1] == ["real", "fake"]
    assert decide_labels(None, None, nothing, 1, two, "softmax")[1] is None


def test_a_suggestion_keeps_its_alternatives():
    suggested = CIFAR._replace(alternatives=("labels=[...]",))
    assert decide_labels(None, None, suggested, 10)[0].certainty == "ambiguous"
    assert decide_labels(TEN, None, suggested, 10)[0].certainty == "told"
