""" "Did you mean": commands, options, choices, names of models; only what there is."""

from __future__ import annotations

import pytest

from npresnet import cli
from npresnet.cli.parser import make_parser
from npresnet.cli.parser.suggesting import did_you_mean

USAGE = [
    (("predcit", "a.jpg"), "unknown command 'predcit'; did you mean predict?"),
    (("EMBED", "a.jpg"), "unknown command 'EMBED'; did you mean embed?"),
    (("summ",), "did you mean summary?"),
    (("xyzzy",), "choose from predict, eval"),
    (("predict", "a.jpg", "--jsn"), "--jsn: did you mean --json or --jsonl?"),
    (("predict", "a.jpg", "--JSONL"), "--JSONL: did you mean --jsonl"),
    (("predict", "--tpo", "3", "a.jpg"), "--tpo: did you mean --top?"),
    (("predict", "a.jpg", "--modle=x.npz"), "--modle: did you mean --model?"),
    (("predict", "a.jpg", "--batch_size", "4"), "--batch_size: did you mean --batch-size?"),
    (("predict", "--recursve"), "--recursve: did you mean --recursive?"),  # beside "arguments are required"
    (("cam", "a.jpg", "--outptu", "x.png"), "--outptu: did you mean --output?"),
    (("embed", "a.jpg", "-output", "x.npy"), "unknown option -output; did you mean --output?"),
    (("predict", "a.jpg", "-model", "x.npz"), "unknown option -model; did you mean --model?"),
    (("cache", "inof"), "invalid choice: 'inof'; did you mean info?"),
    (("exercise", "verify"), "invalid choice: 'verify'; choose from start, check"),
    (("bench", "--engines", "onxruntime"), "did you mean onnxruntime?"),
    (("--versoin",), "--versoin: did you mean --version?"),
    (("--json", "predict", "a.jpg"), "--json belongs after the command: npresnet predict ... --json"),
    (("--model", "m.npz", "predict", "a.jpg"), "options belong after the command"),
]


@pytest.mark.parametrize(
    ("words", "told"), USAGE, ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_wrong_usage_names_what_may_be_meant(run, words, told):
    done = run(*words)
    assert (done.code, done.out) == (2, "")
    assert told in done.err.splitlines()[-1]
    assert done.err.startswith("usage: npresnet")


def test_the_usage_is_the_command_s_own(run):
    assert run("cam", "a.jpg", "-o", "b.png", "--jsn").err.startswith("usage: npresnet cam ")


def test_a_file_whose_name_is_like_an_option(run, folder, model_file):
    for name in ("-dash.png", "--top.png"):
        (folder / "photos" / "000.png").rename(folder / name)
        done = run("predict", name, "--model", model_file)
        assert (done.code, done.out) == (2, "")
        assert done.err.endswith(f"; {name}: for that file write ./{name}\n")
        assert run("predict", f"./{name}", "--model", model_file).code == 0
        (folder / name).rename(folder / "photos" / "000.png")
    (folder / "--top").write_bytes(b"")
    assert "./--top" not in run("predict", "photos", "--top", "many").err


def test_what_is_like_nothing_gets_no_suggestion(run):
    for words in (("predict", "a.jpg", "--whatever"), ("predict", "--", "--jsn", "--nothing")):
        assert "did you mean" not in run(*words).err
    assert "did you mean" not in run("predict", "a.jpg", "--top", "none").err
    assert did_you_mean("zzz", ["--json"]) == ""


def test_abbreviations_and_values_that_begin_with_a_dash_stay(run, folder, model_file):
    assert run("predict", "photos", "--recur", "--mod", model_file, "--js").code == 2  # of two options
    assert run("predict", "photos", "--recur", "--mod", model_file, "--jsonl").code == 0
    assert run("predict", "photos/000.png", "--model", model_file, "--csv", "-oout.csv").code == 0
    assert (folder / "out.csv").exists()


def test_images_before_and_behind_options(run, folder, model_file):
    words = ("predict", "photos/000.png", "--csv", "photos/001.png", "--model", model_file, "photos/002.png")
    done = run(*words)
    assert done.code == 0
    assert [line.split(",")[0] for line in done.out.splitlines()[1:]] == [f"photos/00{n}.png" for n in range(3)]
    assert run("doctor", "photos/000.png").code == 2


def test_names_behind_options(run, folder):
    assert run("exercise", "start", "--folder", "ex").code == 0
    done = run("exercise", "check", "--folder", "ex", "softmax", "--limit", 60, "im2col")
    assert (done.code, done.err.splitlines()[-1]) == (1, "npresnet: 0 of 2 pass")
    models = [make_parser().parse_args(["bench", *words]).models for words in (["a", "--quick", "b"], ["--quick"])]
    assert models == [["a", "b"], ["resnet18"]]
    assert "unrecognized arguments: c" in run("convert", "a", "b", "c").err


def test_an_image_in_place_of_the_command(run, folder):
    done = run("photos/000.png")
    assert done.code == 2
    assert "npresnet predict photos/000.png" in done.err


@pytest.mark.parametrize("words", [("help",), ("help", "cam"), ("--help",), ("cam", "-h")])
def test_help(run, words):
    done = run(*words)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("usage: npresnet cam" if "cam" in words else "usage: npresnet [-h]")


MODELS = [
    ("resnet51", ["resnet50"]),
    ("renset18", ["resnet18"]),
    ("ResNeXt50", ["resnext50_32x4d"]),
    ("resnet50.IMAGENET1K_V3", ["resnet50.IMAGENET1K_V2"]),
    ("demoo", ["demo"]),
    ("mnie.npz", []),
    ("resnet2", ["resnet152"]),
    ("wide_resnet", ["wide_resnet50_2"]),
]


@pytest.mark.parametrize(("name", "among"), MODELS)
def test_models_that_are_suggested_can_be_loaded(run, folder, name, among):
    """Published weights, the demo, or a file that is there: never an architecture without weights."""
    from npresnet.model.finding import DEMO_NAMES, published

    (folder / "my.npz").write_bytes(b"")
    done = run("predict", "photos/000.png", "--model", name)
    assert done.code == 1
    if "Did you mean " in done.err:
        suggested = done.err.split("Did you mean ")[1].split("?")[0].split(" or ")
        assert suggested
        assert all(one in DEMO_NAMES or published(one) is not None or one == "my.npz" for one in suggested), suggested
        assert set(among) <= set(suggested)
    else:
        assert not among


def test_a_file_with_a_name_like_it(run, folder):
    (folder / "resnet18_cats.npz").write_bytes(b"")
    (folder / "resnet18_cats.txt").write_bytes(b"")
    done = run("predict", "photos/000.png", "--model", "resnet18_cast")
    assert "resnet18_cats.npz" in done.err
    assert "resnet18_cats.txt" not in done.err


def test_options_of_networks(run, folder, model_file):
    done = run("predict", "photos", "--model", model_file, "--option", "strid_on=3x3")
    assert (done.code, "'strid_on'; did you mean stride_on" in done.err) == (1, True)
    assert "expected one of" in run("predict", "photos", "--model", model_file, "--option", "xyzzy=3").err


def test_architectures(run):
    assert "Did you mean resnet50?" in run("summary", "renset50").err


def test_no_arguments_print_help(run, monkeypatch):
    monkeypatch.setattr("sys.argv", ["npresnet"])
    assert cli.main() == 2
