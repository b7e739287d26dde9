"""What a shell completes: commands, options, choices, names of models, files."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest

from npresnet.cli.completion import NAMES, complete
from npresnet.cli.parser import make_parser
from tests.cli.test_predict_streams import command, environ

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


def asked(line: str) -> dict[str, str]:
    """What argcomplete's shell function sets."""
    words = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\n", "_ARGCOMPLETE_SUPPRESS_SPACE": "1"}
    return {**words, "COMP_LINE": line, "COMP_POINT": str(len(line))}


@pytest.mark.parametrize(("line", "among", "not_among"), CASES, ids=[case[0] for case in CASES])
def test_completions(folder, monkeypatch, line, among, not_among):
    (folder / "my.npz").write_bytes(b"")
    for name, value in asked(line).items():
        monkeypatch.setenv(name, value)
    out = io.StringIO()
    with pytest.raises(SystemExit):
        complete(make_parser(), exit_method=sys.exit, output_stream=out)
    found = [word.rstrip() for word in out.getvalue().split("\n")]
    assert set(among) <= set(found)
    assert not set(not_among) & set(found)


def test_the_command_completes_where_a_shell_asks(folder):
    env = {**environ(), **asked("npresnet pre"), "_ARGCOMPLETE_STDOUT_FILENAME": str(folder / "out")}
    done = subprocess.run(command(), env=env, cwd=folder, capture_output=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, b"")
    assert (folder / "out").read_text().split() == ["predict", "prepare"]


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
