"""What a shell completes: commands, options, choices, names of models, files."""

from __future__ import annotations

import json
import subprocess
import sys

from npresnet.cli.completion import NAMES, OF_FILES, actions, is_of_files
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
    ("npresnet dem", ["demo"], ["embed"]),
    ("npresnet demo ", ["--help"], ["photos/", "--threads"]),
    ("npresnet predict a.png --model de", ["demo"], []),
    ("npresnet bench de", ["demo"], []),
    ("npresnet bench my", ["my.npz"], []),
    ("npresnet bench --isa av", ["avx2"], []),
    ("npresnet summary de", ["demo"], []),
    ("npresnet eval ", ["photos/"], ["demo", "resnet50"]),
    ("npresnet eval photos --classes ", ["names", "sorted", "index", "my.npz"], ["demo"]),
    ("npresnet eval photos --confusion m", ["my.npz"], []),
    ("npresnet exercise ", ["start", "check"], []),
    ("npresnet exercise check im", ["im2col"], []),
    ("npresnet ladder --layer ", [], ["photos/", "my.npz"]),
    ("npresnet predict a.png --top ", [], ["photos/", "my.npz"]),
    ("npresnet predict a.png --labels im", ["imagenet"], []),
    ("npresnet predict a.png --preprocess cif", ["cifar10"], []),
]


def asked(line: str) -> dict[str, str]:
    """What argcomplete's shell function sets."""
    words = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\n", "_ARGCOMPLETE_SUPPRESS_SPACE": "1"}
    return {**words, "COMP_LINE": line, "COMP_POINT": str(len(line))}


# In a process of its own, for argcomplete opens file descriptor 9. Prints the completions of each line of stdin.
PROGRAM = """
import io, json, os, sys
from npresnet.cli.completion import complete
from npresnet.cli.parser import make_parser
for asked in json.load(sys.stdin):
    os.environ.update(asked)
    out = io.StringIO()
    try:
        complete(make_parser(), exit_method=sys.exit, output_stream=out)
    except SystemExit:
        print(json.dumps([word.rstrip() for word in out.getvalue().split(chr(10))]), flush=True)
os._exit(0)
"""


def test_completions(folder, subtests):
    (folder / "my.npz").write_bytes(b"")
    lines = json.dumps([asked(line) for line, *_ in CASES])
    words = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(words, input=lines, cwd=folder, env=environ(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for (line, among, not_among), answer in zip(CASES, done.stdout.splitlines(), strict=True):
        with subtests.test(line):
            found = set(json.loads(answer))
            assert set(among) <= found
            assert not set(not_among) & found


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


def test_every_argument_has_its_names_or_files():
    """Of those that are neither choices nor numbers: what a shell completes was decided for each."""
    taken = [action for action in actions(make_parser()) if action.choices is None and action.nargs != 0]
    found = {action.dest for action in taken if is_of_files(action)}
    paths = {"confusion", "destination", "folder", "grid", "html", "image", "images", "json", "output", "samples"}
    assert found == paths | set(OF_FILES)


def test_a_start_does_not_import_argcomplete():
    code = "import sys; from npresnet import cli; cli.make_parser(); print('argcomplete' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environ(), check=True)
    assert done.stdout == "False\n"
