"""What a shell completes: commands, options, choices, names of models, files."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from npresnet.cli.completion import NAMES
from tests.cli.test_predict_streams import environ

CASES = [
    ("npresnet pre", ["predict", "prepare"], ["embed"]),
    ("npresnet predict --js", ["--json", "--jsonl"], ["--csv"]),
    ("npresnet predict a.png --recur", ["--recursive"], []),
    ("npresnet predict --model resnet5", ["resnet50", "resnet50.IMAGENET1K_V2"], ["resnet51q"]),
    ("npresnet predict --model my", ["my.npz"], ["demo"]),
    ("npresnet predict pho", ["photos/"], []),
    ("npresnet predict --arch seresnet5", ["seresnet50"], ["resnet50"]),
    ("npresnet predict --option stride_", ["stride_on="], []),
    ("npresnet summary cifar_resnet2", ["cifar_resnet20"], []),
    ("npresnet cache ", ["info", "clear"], []),
    ("npresnet bench --engines onnx", ["onnxruntime"], ["torch"]),
    ("npresnet cam a.png --device cu", ["cuda"], ["cpu"]),
]


def completions(line: str, folder: str) -> list[str]:
    """As argcomplete's shell function asks for them."""
    out = os.path.join(folder, "completions")
    asked = {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_STDOUT_FILENAME": out,
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_SUPPRESS_SPACE": "1",
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
    }
    words = [sys.executable, "-m", "npresnet"]
    subprocess.run(words, env={**environ(), **asked}, cwd=folder, check=False, capture_output=True, timeout=60)
    with open(out) as file:
        return [word.rstrip() for word in file.read().split("\n")]


@pytest.mark.parametrize(("line", "among", "not_among"), CASES, ids=[case[0] for case in CASES])
def test_completions(folder, line, among, not_among):
    (folder / "my.npz").write_bytes(b"")
    found = completions(line, str(folder))
    assert set(among) <= set(found)
    assert not set(not_among) & set(found)


def test_names_are_those_that_can_be_given():
    """All that is completed for a model can be loaded, or downloaded."""
    from npresnet.model.finding import DEMO_NAMES, published

    names = NAMES["model"]()
    assert len(names) > 10
    assert all(name in DEMO_NAMES or published(name) is not None for name in names)


def test_a_start_does_not_import_argcomplete():
    code = "import sys; from npresnet import cli; cli.make_parser(); print('argcomplete' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environ(), check=True)
    assert done.stdout == "False\n"
