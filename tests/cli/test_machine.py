"""npresnet doctor and demo."""

from __future__ import annotations

import numpy as np

import npresnet
from tests.support.checkout import REPOSITORY


def test_doctor(run):
    done = run("doctor")
    assert (done.code, done.err) == (0, "")
    for word in (
        "npresnet",
        "CPU",
        "threads",
        "NumPy",
        np.__version__,
        "BLAS",
        "CuPy",
        "GPU",
        "weights cache",
        "advice: ",
    ):
        assert word in done.out


def test_demo_sees_the_cat(run):
    done = run("demo", "--threads", 1)
    assert done.code == 0
    photo = REPOSITORY / "npresnet" / "data" / "chelsea.jpg"
    with npresnet.load("demo", threads=1) as model:
        prediction = model.predict(photo)
    assert prediction.label == "cat"
    first = done.out.splitlines()[1].split()
    assert (first[0], first[1]) == ("cat", f"{prediction.score:.2%}")
    assert "ms" not in done.out, "times are on stderr"
    assert " ms, by a CIFAR-10 ResNet-20" in done.err
    assert "next steps" in done.err
    assert "npresnet predict" in done.err
