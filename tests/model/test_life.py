"""Copying, pickling and closing a model; its repr, config and summary."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest

import npresnet
from tests.support.small import ARCH, batch, picture


def test_a_model_can_be_pickled_and_copied(model):
    for twin in (pickle.loads(pickle.dumps(model)), copy.copy(model), copy.deepcopy(model)):
        with twin:
            np.testing.assert_array_equal(twin(batch(2)), model(batch(2)))
            assert repr(twin) == repr(model)
            assert twin.config.to_dict() == model.config.to_dict()
        assert model(batch(1)).shape == (1, 10), "closing the copy does not affect the original"
    tensors = sum(array.nbytes for array in model._tensors.values())
    assert len(pickle.dumps(model)) < 1.2 * tensors, "the weights are pickled once"


def test_a_closed_model_raises():
    with npresnet.build(ARCH, num_classes=10, threads=2) as model:
        model(batch(1))
    for call in (lambda: model(batch(1)), lambda: model.predict(picture()), lambda: model.features(batch(1), ["fc"])):
        with pytest.raises(npresnet.DeviceError, match="closed"):
            call()
    assert "closed" in repr(model)
    model.close()


def test_methods_that_do_not_run_the_network_work_after_closing(tmp_path):
    model = npresnet.build(ARCH, num_classes=10, threads=1)
    model.close()
    model.save(tmp_path / "saved.npz")
    assert "Total params: 269,722" in model.summary()


def test_repr(model):
    text = repr(model)
    for word in (ARCH, "10 classes", "0.27 M parameters", "cpu", "2 threads", "random weights, seed 0"):
        assert word in text


def test_config_is_plain_json(model):
    values = json.loads(json.dumps(model.config.to_dict()))
    assert values["threads"] == {"value": 2, "origin": "caller", "note": ""}


def test_summary_has_this_model_s_size_by_default(model):
    assert "[-1, 16, 32, 32]" in model.summary()
    assert "[4, 16, 8, 8]" in model.summary((3, 8, 8), batch_size=4)


@pytest.mark.parametrize("name", ["demo", "cifar10-resnet20"])
def test_repr_of_the_demo(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with npresnet.load(name) as model:
        assert repr(model).endswith("from demo>")
        model.save("mine.npz")
    with npresnet.load("mine.npz") as again:
        assert repr(again).endswith("from demo>")
