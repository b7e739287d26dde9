"""Prediction: probabilities, order, names."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import numpy as np
import pytest

from npresnet.model.prediction import Candidate, Prediction, probabilities_of


def test_softmax_is_the_formula():
    logits = np.array([[0.5, -1.0, 2.0], [3.0, 3.0, 3.0]], np.float32)
    e = np.exp(logits.astype(np.float64))
    np.testing.assert_array_equal(probabilities_of(logits), (e / e.sum(axis=1, keepdims=True)).astype(np.float32))


@pytest.mark.filterwarnings("error")
def test_softmax_of_infinities_is_nan_without_a_warning():
    for value in (np.inf, np.nan):
        assert np.isnan(probabilities_of(np.array([value, 0, 1], np.float32))).any()


def test_softmax_does_not_overflow():
    np.testing.assert_array_equal(probabilities_of(np.array([1e4, 0, -1e4], np.float32)), [1, 0, 0])


def test_probabilities_add_up_to_one():
    logits = np.random.default_rng(0).normal(0, 20, 1000).astype(np.float32)
    p = Prediction(logits).probabilities
    assert p.dtype == np.float32
    assert float(p.sum(dtype=np.float64)) == pytest.approx(1, abs=1000 * 2**-25)  # each is rounded once


def test_top_is_sorted_and_the_first_gives_label_index_and_score():
    prediction = Prediction(np.array([1, 5, 3, 4], np.float32), ["a", "b", "c", "d"], top_k=3)
    assert [c.label for c in prediction.top] == ["b", "d", "c"]
    assert [c.index for c in prediction.top] == [1, 3, 2]
    assert (prediction.label, prediction.index, prediction.score) == ("b", 1, float(prediction.probabilities[1]))
    assert isinstance(prediction.top[0], Candidate)


def test_ties_are_ordered_by_index():
    assert [c.index for c in Prediction(np.array([2, 7, 7, 2], np.float32)).top] == [1, 2, 0, 3]


def test_top_never_exceeds_the_classes():
    assert len(Prediction(np.zeros(3, np.float32), top_k=10).top) == 3


def test_a_class_without_a_name_is_named_by_index():
    assert Prediction(np.array([0, 1], np.float32)).label == "1"


def test_to_dict_is_plain_json():
    prediction = Prediction(np.array([0, 1, 2], np.float32), ["a", "b", "c"], top_k=2)
    values = json.loads(json.dumps(prediction.to_dict()))
    assert list(values) == ["index", "label", "score", "top"]
    assert (values["index"], values["label"]) == (2, "c")
    assert [candidate["label"] for candidate in values["top"]] == ["c", "b"]
    assert values["score"] == values["top"][0]["score"] == pytest.approx(0.66524, abs=1e-5)


def test_repr():
    prediction = Prediction(np.array([0, 1, -3], np.float32), ["cat", "dog", "cow"])
    assert repr(prediction) == "<Prediction 'dog' (index 1) 0.7214, 'cat' (index 0) 0.2654, 'cow' (index 2) 0.0132>"
    many = Prediction(np.arange(9, dtype=np.float32), top_k=7)
    assert repr(many).count("(index") == 7
    assert "\x1b" not in repr(Prediction(np.ones(1, np.float32), ["\x1b[31m" + "x" * 5000]))
    assert len(repr(Prediction(np.ones(1, np.float32), ["x" * 5000]))) < 200


def test_html_is_a_table_in_which_labels_are_text():
    evil = '<script>alert("1")</script>&'
    html = Prediction(np.array([0, 1, 2], np.float32), ["cat", evil, "d"], 2, source=f"{evil}.jpg")._repr_html_()
    document = ElementTree.fromstring(html)  # well-formed, and nothing but the table's own elements
    assert {element.tag for element in document.iter()} == {"table", "caption", "thead", "tbody", "tr", "th", "td"}
    assert document.find("caption").text == f"{evil}.jpg"
    assert [cell.text for cell in document.findall("tbody/tr/td")] == ["d", "2", "0.6652", evil, "1", "0.2447"]
    assert "<caption>" not in Prediction(np.ones(2, np.float32))._repr_html_()


# --- sigmoids --------------------------------------------------------------------------------------------------------


def of(*logits: float, labels: list[str] | None = None, top_k: int = 5) -> Prediction:
    return Prediction(np.array(logits, np.float32), labels, top_k, scores="sigmoid")


def test_sigmoid_is_the_formula():
    logits = np.array([[0.5, -1.0, 200.0], [-200.0, 0.0, 3.0]], np.float32)
    right = (1 / (1 + np.exp(-logits.astype(np.float64)))).astype(np.float32)
    np.testing.assert_array_equal(probabilities_of(logits, "sigmoid"), right)


@pytest.mark.filterwarnings("error")
def test_sigmoids_of_huge_logits_neither_overflow_nor_warn():
    assert probabilities_of(np.array([1e4, -1e4, np.inf, -np.inf], np.float32), "sigmoid").tolist() == [1, 0, 1, 0]


def test_several_logits_are_classes_of_their_own():
    prediction = of(0.5, 2.0, 2.0, -3.0, labels=["dust", "fog", "rain", "snow"], top_k=3)
    assert [c.label for c in prediction.top] == ["fog", "rain", "dust"]
    assert prediction.probabilities.sum() > 2
    assert prediction.score == pytest.approx(1 / (1 + np.exp(-2)))


@pytest.mark.parametrize(
    ("logit", "index", "score"),
    [(-3.0, 0, 0.95257), (-1e-3, 0, 0.50025), (0.0, 1, 0.5), (-0.0, 1, 0.5), (2.0, 1, 0.8808)],
)
@pytest.mark.parametrize("labels", [None, ["real", "fake"]])
def test_one_logit_decides_between_two_classes(logit, index, score, labels):
    prediction = of(logit, labels=labels)
    assert prediction.index == index
    assert prediction.label == (labels or "01")[index]
    assert prediction.score == pytest.approx(score, abs=1e-5)
    assert [c.index for c in prediction.top] == [index, 1 - index]
    assert prediction.probabilities.shape == (2,)
    assert prediction.probabilities.sum() == pytest.approx(1, abs=1e-7)
    assert prediction.to_dict()["top"][1]["score"] == pytest.approx(1 - score, abs=1e-5)
    assert prediction.logits.shape == (1,)


def test_the_best_of_one_logit_alone():
    assert [c.index for c in of(1.0, top_k=1).top] == [1]


def test_the_smaller_probability_of_one_logit_is_precise():
    assert of(40.0).top[1].score == pytest.approx(np.exp(-40), rel=1e-6)


@pytest.mark.parametrize("logit", [-3.0, 3.0])
def test_one_logit_with_one_label_is_that_label_s_probability(logit):
    prediction = of(logit, labels=["fake"])
    assert (prediction.index, prediction.label, len(prediction.top)) == (0, "fake", 1)
    assert prediction.score == pytest.approx(1 / (1 + np.exp(-logit)))
    assert prediction.probabilities.shape == (1,)


@pytest.mark.filterwarnings("error")
def test_one_logit_that_is_no_number():
    prediction = of(np.nan)
    assert (prediction.index, prediction.label) == (0, "0")
    assert np.isnan(prediction.score)
    assert [c.index for c in of(np.nan, 1.0, labels=["a", "b"]).top] == [1, 0]
    assert (of(np.inf).index, of(np.inf).score, of(-np.inf).index, of(-np.inf).score) == (1, 1, 0, 1)
