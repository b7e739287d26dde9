"""npresnet predict --device cuda, on an emulated GPU: what a person sees."""

from __future__ import annotations

import json
import re

from tests.cuda.conftest import gpus
from tests.emulator import emulator

__all__ = ["gpus"]
pytestmark = emulator.needed


def test_text_says_where_the_time_went(run, gpus, folder, model_file):
    gpus(name="NVIDIA Emulated")
    small = ["--preprocess", json.dumps({"resize": 8, "crop": 8})]
    words = ["predict", "photos", "--model", model_file, "--threads", 2, "--batch-size", 2, *small]
    on_cpu = run(*words)
    done = run(*words, "--device", "cuda")
    assert done.code == 0
    rows = done.out.splitlines()
    device, times, parts = (line.removeprefix("npresnet: ") for line in done.err.splitlines())
    assert [row.split()[:3] for row in rows] == [row.split()[:3] for row in on_cpu.out.splitlines()]
    assert device == "GPU: NVIDIA Emulated (cuda:0), float32"
    assert re.fullmatch(r"5 images in \d+\.\d ms, mean \d+\.\d ms", times)
    ms = r"\d+\.\d ms"
    assert re.fullmatch(  # three batches, and any two events of the stand-in are 1 ms apart
        rf"where the time went \(parts overlap\): decoding by 2 threads {ms}, preparing kernels {ms}, "
        r"upload 3\.0 ms, GPU 3\.0 ms, download 3\.0 ms",
        parts,
    )


def test_records_are_those_of_the_cpu(run, gpus, folder, model_file):
    gpus()
    words = ["predict", "photos/000.png", "broken.png", "photos/001.png", "--model", model_file, "--json"]
    small = ["--preprocess", json.dumps({"resize": 8, "crop": 8})]
    on_cpu, done = run(*words, *small), run(*words, *small, "--device", "cuda")
    assert (done.code, done.err) == (on_cpu.code, on_cpu.err)
    for found, right in zip(json.loads(done.out), json.loads(on_cpu.out), strict=True):
        if "error" in right:
            assert found == right
            continue
        assert (found["path"], found["index"], found["label"]) == (right["path"], right["index"], right["label"])
        assert [candidate["index"] for candidate in found["top"]] == [candidate["index"] for candidate in right["top"]]
