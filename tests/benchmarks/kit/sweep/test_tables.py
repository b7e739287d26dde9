from __future__ import annotations

import copy

import pytest

from benchmarks.kit.sweep import strangers, tables

ROW = {"library": "timm", "module": "resnet", "family": "timm", "arch": "resnet50d", "error": 1e-14, "rms": 1.25}
ENTRY = {
    "command": "python benchmarks/families.py",
    "versions": {"npresnet": "0", "timm": "9.8.7"},
    "resnets": [
        {**ROW, "name": "resnet50d", "verdict": "runs"},
        {
            **ROW,
            "name": "resnetaa50d",
            "verdict": "needs",
            "options": {"antialias": "avg"},
            "notes": {"antialias": "hm"},
        },
        {"library": "timm", "module": "dla", "name": "dla60_res2net", "verdict": "refused", "message": "DLA | <x>"},
    ],
    "homes": [{"home": "VISSL", "verdict": "runs", "said": "max_pool"}],
    "strangers": [
        {"library": "timm", "module": "vgg", "names": 3, "unnamed": 1, "refused": {"VGG": 2}, "built": []},
        {
            "library": "timm",
            "module": "byoanet",
            "names": 1,
            "unnamed": 1,
            "refused": {},
            "built": [],
            "why": "attention",
        },
    ],
}


@pytest.fixture(autouse=True)
def right(monkeypatch):
    monkeypatch.setattr(strangers, "RIGHT", {"VGG": "^vgg$"})


def test_the_page_has_every_record():
    text = "\n".join(tables.sections(ENTRY))
    for word in ("timm 9.8.7", "Of 3, 1 run, 1 need an option, 1 refused; none silently wrong", "`resnet50d`", "VISSL"):
        assert word in text
    assert '| `resnetaa50d` | `antialias="avg"` | hm |' in text
    assert "DLA \\| &lt;x>" in text
    assert "| timm `resnet` | `timm` | 2 | 1 | 1 | 0 | 1.25 |" in text
    assert "4 architectures: 2 refused by their own family's name, 2 as unknown" in text
    assert "attention" in text


def changed(part, **fields):
    entry = copy.deepcopy(ENTRY)
    entry[part][0].update(fields)
    return entry


def test_what_fails():
    assert not tables.has_failed(ENTRY)
    for entry in (
        changed("resnets", verdict="wrong"),
        changed("resnets", verdict="ill-conditioned", message="no"),
        changed("homes", verdict="crash", message="no"),
        changed("strangers", built=["vgg11"]),
        changed("strangers", verdict="crash"),
    ):
        assert tables.has_failed(entry)
    assert "wrong" in tables.summary(changed("resnets", verdict="wrong"))
    assert "1 silently wrong" in "\n".join(tables.sections(changed("resnets", verdict="wrong")))
    doubtful = changed("resnets", verdict="ill-conditioned", message="PyTorch's logits change 1e+09 times as much")
    assert "none silently wrong. 1 could not be judged." in "\n".join(tables.sections(doubtful))
    assert "| `resnet50d` | ill-conditioned | PyTorch's logits" in "\n".join(tables.sections(doubtful))


def test_names_of_another_family_are_counted():
    row = {"module": "vgg", "refused": {"VGG": 2, "DenseNet": 5}}
    assert strangers.wrong_names(row) == {"DenseNet": 5}


def test_the_family_that_a_refusal_names():
    assert strangers.family_named("a.pth: this looks like VGG, AlexNet, which is not supported: x") == "VGG, AlexNet"
    assert strangers.family_named("the tensors are not a ResNet known to npresnet") is None
