"""What a file cannot tell is said once a load, at the caller's own line, until an option settles it."""

from __future__ import annotations

import json
import shlex
import subprocess
import warnings

import numpy as np
import pytest

import npresnet
from npresnet import arch, weights
from npresnet.config import Decision
from npresnet.model import ambiguity
from npresnet.model.ambiguity import as_argument, message_of
from tests.arch.fabric import basic_net, bottleneck_net

X = np.random.default_rng(0).standard_normal((1, 3, 32, 32), np.float32)


@pytest.fixture
def small_stem(tmp_path):
    """A network of which neither the stem's stride and pool nor the images' size are told."""
    path = tmp_path / "small.npz"
    weights.write_npz(path, basic_net((1, 1, 1, 1), channels=8, stem=3, classes=7), {})
    return path


def heard(call):
    """(result, the AmbiguityWarnings) of a call."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = call()
    return result, [warning for warning in caught if warning.category is npresnet.AmbiguityWarning]


def test_one_warning_names_what_is_assumed_and_the_options(small_stem):
    with npresnet.load(small_stem, max_pool=False, stem_stride=1, preprocess="cifar10", threads=1):
        pass  # told: no warning, which would be an error here
    model, said = heard(lambda: npresnet.load(small_stem, threads=1))
    model.close()
    assert len(said) == 1
    text = str(said[0].message)
    assert "\n" not in text
    assert text.startswith("small.npz fits more than one network: ")
    for words in ("max_pool=False is assumed", "max_pool=True", "stem_stride=2", "preprocess="):
        assert words in text
    assert said[0].filename == __file__


def test_it_is_the_callers_line_in_a_frozen_program_too(small_stem, monkeypatch):
    """Where code has no absolute path."""
    warn = ambiguity.warn_of_ambiguity
    monkeypatch.setattr(warn, "__code__", warn.__code__.replace(co_filename="npresnet/model/ambiguity.py"))
    model, said = heard(lambda: npresnet.load(small_stem, threads=1))
    model.close()
    assert [warning.filename for warning in said] == [__file__]


def test_options_silence_what_they_settle(small_stem):
    model, said = heard(lambda: npresnet.load(small_stem, max_pool=True, threads=1))
    model.close()
    assert "max_pool" not in str(said[0].message)
    assert "stem_stride" in str(said[0].message)


@pytest.mark.parametrize(("told", "count"), [({}, 1), ({"max_pool": True, "stem": [[3, 1, 1]], "preprocess": "V1"}, 0)])
def test_our_own_files_know_what_was_told(small_stem, tmp_path, told, count):
    """A converted file warns as its source did: only what was given is settled."""
    _, first = heard(lambda: npresnet.convert(small_stem, tmp_path / "ours.npz", **told))
    model, again = heard(lambda: npresnet.load(tmp_path / "ours.npz", threads=1))
    assert (len(first), len(again)) == (count, count)
    original, _ = heard(lambda: npresnet.load(small_stem, threads=1, **told))
    np.testing.assert_array_equal(model(X), original(X))
    assert {name: d.certainty for name, d in model.config.items() if name in told} == dict.fromkeys(told, "told")
    model.close(), original.close()


@pytest.mark.parametrize("name", ["resnet18", "resnet14", "cifar_resnet20", "seresnet18"])
def test_networks_built_by_name_are_not_ambiguous(name, tmp_path):
    with npresnet.build(name, num_classes=10, threads=1) as model:
        assert model.config.ambiguous() == {}
        model.save(tmp_path / "built.npz")
    model, said = heard(lambda: npresnet.load(tmp_path / "built.npz", threads=1))
    model.close()
    assert said == []


@pytest.mark.parametrize("tensors", [basic_net((2, 2, 2, 2)), bottleneck_net()], ids=["basic", "bottleneck"])
def test_plain_files_do_not_warn(tensors, tmp_path):
    plain = {**tensors, "bn1.num_batches_tracked": np.array(0)}
    weights.write_npz(tmp_path / "plain.npz", plain, {})
    model, said = heard(lambda: npresnet.load(tmp_path / "plain.npz", threads=1))
    model.close()
    assert said == []


def test_the_message_of_several_decisions():
    text = message_of(
        {
            "stride_on": Decision("1x1", "default", "as in most", ("stride_on='3x3'",)),
            "shortcut": Decision("A", "default", "", ("shortcut='A-end'", "shortcut='none'")),
        },
        "net.pth",
    )
    assert text.startswith(
        "net.pth fits more than one network: stride_on='1x1' is assumed (as in most), but it could be"
    )
    assert "shortcut='A' is assumed, but it could be shortcut='A-end' or shortcut='none'" in text
    assert text.endswith("Give those options to settle it")


def test_damaged_alternatives_in_our_own_file(tmp_path):
    tensors = arch.random_tensors("cifar_resnet20", num_classes=3)
    with npresnet.build("cifar_resnet20", num_classes=3, threads=1) as model:
        model.save(tmp_path / "x.npz")
    metadata = weights.read(tmp_path / "x.npz").metadata
    metadata["config"]["max_pool"]["alternatives"] = ["max_pool=True", 3]
    weights.write_npz(tmp_path / "x.npz", tensors, metadata)
    with pytest.raises(npresnet.CheckpointError, match="alternatives are not a list of options"):
        npresnet.load(tmp_path / "x.npz")


def test_an_ambiguous_preprocessing_remains_so_in_our_own_file(small_stem, tmp_path):
    """Also where nothing else is ambiguous; a given one is settled."""
    told = {"max_pool": False, "stem": [[3, 1, 1]]}
    for given, count in (({}, 1), ({"preprocess": "cifar10"}, 0)):
        _, first = heard(lambda: npresnet.convert(small_stem, tmp_path / "ours.npz", **told, **given))  # noqa: B023
        model, again = heard(lambda: npresnet.load(tmp_path / "ours.npz", threads=1))
        assert (len(first), len(again)) == (count, count)
        assert "preprocess" in model.config.ambiguous() or given
        model.close()


@pytest.mark.parametrize(
    ("alternative", "words"),
    [
        ("stride_on='1x1'", ["stride_on=1x1"]),
        ("shortcut='A-end'", ["shortcut=A-end"]),
        ("bn_eps=1e-5", ["bn_eps=1e-5"]),
        ("stem=[[3, 1, 2]]", ["stem=[[3, 1, 2]]"]),
        ("max_pool=[3, 2, 0, true]", ["max_pool=[3, 2, 0, true]"]),
        ("preprocess={'resize': 64, 'crop': 64}", ["preprocess={'resize': 64, 'crop': 64}"]),
        (
            "activation=['leaky_relu', 0.1] and preactivation='first'",
            ["activation=['leaky_relu', 0.1]", "preactivation=first"],
        ),
    ],
)
def test_a_shell_takes_the_arguments_as_they_are(alternative, words):
    expected = [part for word in words for part in ("--option", word)]
    assert shlex.split(as_argument(alternative)) == expected


def test_one_message_for_two_names_of_the_same():
    same = ("segmentation", ("output_stride=8",))
    text = message_of(
        {
            "replace_stride_with_dilation": Decision([False, False, True], "default", *same),
            "output_stride": Decision(16, "default", *same),
        },
        "net.pth",
    )
    assert text.count("is assumed") == 1
    assert "output_stride=16 is assumed" in text


def test_the_message_shows_what_is_unusual_in_a_preprocessing():
    usual = npresnet.Preprocess().to_dict()
    decision = Decision({**usual, "resize": 64, "crop": 64}, "default", "", ("preprocess='cifar10'",))
    assert "preprocess={'resize': 64, 'crop': 64} is assumed" in message_of({"preprocess": decision}, "net.pth")


@pytest.mark.parametrize("hostile", ["a='$(echo x)'", "a='`id`'", "a='\"; id; \"'", "a=$(id)", "a='!!'", "a='\\"])
def test_alternatives_of_a_hostile_file_are_one_word_of_a_shell(hostile):
    written = as_argument(hostile)
    assert shlex.split(written) == ["--option", hostile]
    shell = ["sh", "-c", f'printf "%s|" {written}']
    assert subprocess.run(shell, capture_output=True, text=True, check=True).stdout == f"--option|{hostile}|"


def test_a_warning_of_a_hostile_file_is_short_and_acts_on_no_terminal(tmp_path):
    path = tmp_path / "w.npz"
    npresnet.build("cifar_resnet20", num_classes=3, threads=1).save(path)
    arrays = dict(np.load(path))
    metadata = json.loads(str(arrays["__npresnet__"]))
    metadata["config"]["stem_stride"].update(note="\x1b[31m\n" * 200, alternatives=["stem_stride=\x1b[0m\n" * 200])
    arrays["__npresnet__"] = np.array(json.dumps(metadata))
    model, (said,) = heard(lambda: npresnet.load(arrays, threads=1))
    model.close()
    for text in (str(said.message), said.message.for_shells):
        assert text.isprintable()
        assert len(text) <= 1000
