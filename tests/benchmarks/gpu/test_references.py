from __future__ import annotations

import numpy as np

from benchmarks.gpu import references, subjects
from benchmarks.gpu.references import References
from npresnet import ops


def test_more_images_begin_with_the_same_ones():
    np.testing.assert_array_equal(subjects.images(7, 16)[:3], subjects.images(3, 16))


def test_logits_are_prepared_once_and_carried_along(tmp_path, monkeypatch):
    path, said = tmp_path / "references.npz", []
    references.prepare(path, ["cifar_resnet8"], 16, said.append)
    references.prepare(path, ["cifar_resnet8"], 16, said.append)
    assert said == ["cifar_resnet8: 8 images of 16x16 in references.npz"] * 2
    x = subjects.images(2, 16).astype(np.float64)
    right = ops.run(subjects.network("cifar_resnet8"), x)["logits"]

    monkeypatch.setattr(references, "_computed", lambda *what: 1 / 0)
    found, source = References(path).logits("cifar_resnet8", 2, 16)
    assert source == "prepared"
    np.testing.assert_allclose(found, right, rtol=1e-12)


def test_what_is_not_prepared_is_computed_and_said(tmp_path):
    known = References(None)
    few, source = known.logits("cifar_resnet8", 1, 16)
    assert source == "computed here"
    more, source = known.logits("cifar_resnet8", 2, 16)
    assert source == "computed here"
    assert known.logits("cifar_resnet8", 1, 16)[1] == "computed here"  # still not carried along
    assert len(more) == 2
    np.testing.assert_array_equal(more[:1], few)


def test_a_file_of_other_weights_is_of_no_effect(tmp_path, monkeypatch):
    path = tmp_path / "references.npz"
    references.prepare(path, ["cifar_resnet8"], 16, lambda line: None)
    usual = subjects.network("cifar_resnet8")
    node = usual.nodes[0]
    changed = node.evolve(params={**node.params, "weight": node.params["weight"] * 1.001})
    monkeypatch.setattr(subjects, "network", lambda name: type(usual)((changed, *usual.nodes[1:]), usual.outputs))
    references._key.cache_clear()
    try:
        assert References(path).logits("cifar_resnet8", 1, 16)[1] == "computed here"
    finally:
        references._key.cache_clear()
