from __future__ import annotations

import argparse

import pytest

from npresnet.bench import arguments


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    arguments.add_cases(parser)
    arguments.add_engines(parser)
    arguments.add_pace(parser)
    return parser.parse_args(words)


def test_what_is_said_reaches_the_settings():
    options = parse("--rounds", "3", "--seconds", "1.5", "--isa", "avx2", "--batches", "2", "4")
    settings = arguments.settings_of(options, threads=5)
    assert (settings.threads, settings.rounds, settings.seconds, settings.isa) == (5, 3, 1.5, "avx2")
    assert (options.batches, options.size, options.engines, options.threads) == ([2, 4], 224, None, None)


def test_quick_is_one_short_round():
    settings = arguments.settings_of(parse("--quick", "--rounds", "9"), threads=1)
    assert (settings.rounds, settings.seconds) == (1, 0.05)


@pytest.mark.parametrize(
    "words", [("--batches", "0"), ("--threads", "-1"), ("--rounds", "x"), ("--isa", "mmx"), ("--engines", "caffe")]
)
def test_nonsense_is_wrong_usage(words, capsys):
    with pytest.raises(SystemExit) as stop:
        parse(*words)
    assert stop.value.code == 2
