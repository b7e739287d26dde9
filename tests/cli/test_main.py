"""The command: help, version, exit codes, interruptions."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

import npresnet
from npresnet import cli
from npresnet.cli import machine
from tests.cli.test_predict import command, environ
from tests.support.small import write_pictures

COMMANDS = ("predict", "convert", "inspect", "summary", "embed", "cam", "bench", "doctor", "demo")


def test_version(run):
    done = run("--version")
    assert (done.code, done.out) == (0, f"npresnet {npresnet.__version__}\n")


def test_help_names_every_command_and_shows_examples(run):
    done = run("--help")
    assert (done.code, done.err) == (0, "")
    for word in (*COMMANDS, "examples:"):
        assert word in done.out


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_each_command(run, name):
    done = run(name, "--help")
    assert (done.code, done.err) == (0, "")
    assert f"usage: npresnet {name}" in done.out


def test_no_command_is_wrong_usage(run):
    done = run()
    assert (done.code, done.out) == (2, "")
    assert "usage: npresnet" in done.err
    assert run("nonsense").code == 2


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (npresnet.DeviceError("no device"), 1, "npresnet: error: no device\n"),
        (OSError(28, "No space left on device", "out.npy"), 1, "npresnet: error: out.npy: No space left on device\n"),
        (OSError(28, "No space left on device"), 1, "npresnet: error: the output: No space left on device\n"),
        (MemoryError(), 1, "npresnet: error: not enough memory"),
        (KeyboardInterrupt(), 130, "npresnet: interrupted\n"),
    ],
)
def test_errors_are_one_line(run, monkeypatch, error, code, message):
    def fail(_args):
        raise error

    monkeypatch.setattr(machine, "doctor", fail)
    done = run("doctor")
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith(message)
    assert done.err.count("\n") == 1


def test_other_exceptions_are_not_hidden(run, monkeypatch):
    def fail(_args):
        raise ZeroDivisionError

    monkeypatch.setattr(machine, "doctor", fail)
    with pytest.raises(ZeroDivisionError):
        cli.main(["doctor"])


@pytest.mark.skipif(os.name == "nt", reason="a POSIX shell closes the streams")
@pytest.mark.parametrize(("closed", "code"), [(">&-", 0), ("2>&-", 1), ("<&-", 1)])
def test_closed_streams(tmp_path, model_file, closed, code):
    """With stdout, stderr or stdin closed by the caller there is no traceback, and no message on stdout."""
    what = {">&-": "summary resnet10", "2>&-": "summary nothing", "<&-": f'predict - --model "{model_file}"'}[closed]
    shell = f'"{sys.executable}" -m npresnet {what} {closed}'
    done = subprocess.run(shell, shell=True, capture_output=True, text=True, env=environ(), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, "")
    assert "Traceback" not in done.stderr


def test_python_m():
    done = subprocess.run(command("--version"), capture_output=True, text=True, env=environ(), check=True)
    assert done.stdout == f"npresnet {npresnet.__version__}\n"


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C reaches a whole console there")
def test_ctrl_c(folder, model_file):
    write_pictures(folder / "many", 40)
    words = command("predict", *["many"] * 200, "--model", model_file, "--jsonl", "--threads", 2, "--batch-size", 4)
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ()) as process:
        assert process.stdout.readline().startswith("{")
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (130, "npresnet: interrupted\n")
        assert out.count("\n") < 8000


def test_a_start_imports_nothing_heavy():
    code = "import sys; from npresnet import cli; cli.make_parser(); print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environ(), check=True)
    for name in ("PIL", "tqdm", "threadpoolctl", "npresnet.model.model", "npresnet.cpu"):
        assert f"'{name}'" not in done.stdout
