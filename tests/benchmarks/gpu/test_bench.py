"""The second GPU is meant for nvidia-smi and PyTorch too, and --quick for every stage."""

from __future__ import annotations

import contextlib
import gc
import subprocess
import sys
import types
import weakref

import pytest

from benchmarks.gpu import bench as bench_module
from benchmarks.gpu import calls, stages, torch_peer, worker
from benchmarks.gpu.bench import Bench
from npresnet.errors import DeviceError
from tests.support.checkout import REPOSITORY


@pytest.fixture
def cupy(monkeypatch):
    runtime = types.SimpleNamespace(deviceGetPCIBusId=lambda index: f"0000:0{index}:00.0")
    fake = types.SimpleNamespace(cuda=types.SimpleNamespace(runtime=runtime))
    monkeypatch.setattr(bench_module, "import_cupy", lambda: fake)


def test_nvidia_smi_is_asked_for_the_gpu_by_its_bus(cupy, monkeypatch):
    asked = []

    def run(command, **how):
        asked.append(command)
        return types.SimpleNamespace(stdout="580.1, 700.00 W, 1980 MHz, 3201 MHz\n")

    monkeypatch.setattr(subprocess, "run", run)
    found = bench_module.driver(bench_module.pci_bus_id("cuda:1"))
    assert "--id=0000:01:00.0" in asked[0]
    assert found["power.limit"] == "700.00 W"
    assert bench_module.pci_bus_id("cuda") == "0000:00:00.0"


def test_torch_takes_the_same_gpu(monkeypatch):
    chosen = []
    torch = types.ModuleType("torch")
    torch.cuda = types.SimpleNamespace(is_available=lambda: True, set_device=chosen.append)
    torch.backends = types.SimpleNamespace(cudnn=types.SimpleNamespace(version=lambda: 9))
    torch.__version__, torch.__spec__ = "2", types.SimpleNamespace()
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert torch_peer.find_peer("cuda:1") is not None
    assert torch_peer.find_peer("cuda") is not None
    assert chosen == [1, 0]


class Cuda:
    """As much of torch.cuda as capturing takes; a graph keeps nothing alive."""

    class Stream:
        def wait_stream(self, other):
            pass

    class CUDAGraph:
        def replay(self):
            pass

    class Event:
        def __init__(self, enable_timing):
            pass

        def record(self):
            pass

        synchronize = record

        def elapsed_time(self, other):
            return 6.0

    @staticmethod
    def current_stream():
        return Cuda.Stream()

    @staticmethod
    def stream(stream):
        return memoryview(b"")  # any context manager

    graph = stream


class Module:
    def __call__(self, images):
        return images


def test_a_racer_keeps_the_memory_that_its_graph_reads():
    peer = torch_peer.Peer.__new__(torch_peer.Peer)
    peer._torch = types.SimpleNamespace(cuda=Cuda)
    module, images = Module(), Module()
    alive = [weakref.ref(module), weakref.ref(images)]
    racer = peer._racer("torch eager", peer._graphed(lambda module=module, images=images: module(images)))
    del module, images
    gc.collect()
    assert all(reference() is not None for reference in alive)
    assert racer.time_ms(3) == 2.0


def test_quick_shortens_every_stage():
    gpu = types.SimpleNamespace(name="NVIDIA H200", capability=90, multiprocessors=132)
    for stage in calls.STAGES:
        usual, quick = (len(list(stage.cases(Bench(gpu, None, quick=quick)))) for quick in (False, True))
        assert 0 < quick <= usual
        if stage.name != "ceilings":  # there the rounds alone are fewer
            assert quick <= usual / 2, stage.name


def test_a_broken_pytorch_costs_its_columns_and_not_the_report(monkeypatch):
    def broken(device):
        raise OSError("/usr/lib/libcudnn.so.9: cannot open shared object file")

    monkeypatch.setattr(worker, "find_peer", broken)
    assert worker._peer("cuda") == (None, "does not work: OSError: libcudnn.so.9: cannot open shared object file")


def test_a_stage_whose_cases_cannot_be_listed_is_a_problem_of_that_stage():
    def cases(bench):
        yield stages.Case("first", dict)
        raise ImportError("no golden files")

    (case,) = stages.listed(stages.Stage("counting", "", cases, 1, 60), None)
    assert case.name == "its cases"
    assert stages.measured(case, None) == ({"problem": "ImportError: no golden files"}, False)


class Working:
    """A bench whose GPU works until its stream is found to have failed with `late`."""

    active = contextlib.nullcontext

    def __init__(self, late=""):
        self.gpu = self.stream = self
        self.late, self.failed = late, None

    def synchronize(self):
        if self.late:
            self.failed = self.late
            raise DeviceError(self.late)


def refused():
    raise DeviceError("the driver does not encode it")


@pytest.mark.parametrize(
    ("measure", "late", "finding", "usable"),
    [
        (dict, "", {}, True),
        (refused, "", {"problem": "the driver does not encode it"}, True),
        (refused, "illegal", {"problem": "the driver does not encode it", "broke": True}, False),
        (lambda: {"number": 1}, "illegal", {"problem": "illegal", "broke": True}, False),
        (lambda: [][0], "", {"problem": "IndexError: list index out of range"}, False),
    ],
)
def test_a_process_is_used_further_while_its_gpu_works(measure, late, finding, usable):
    assert stages.measured(stages.Case("a", measure), Working(late)) == (finding, usable)


@pytest.mark.parametrize(
    ("finding", "line"),
    [
        ({"problem": "wrong\nby much", "errors": 2}, "problem: wrong"),
        ({"absent": "no tool"}, "absent: no tool"),
        ({"batch": 1, "times": {"npresnet": {"ms": 0.21}, "torch eager": {"ms": 0.5}}},
         "batch 1, npresnet 0.21 ms, torch eager 0.5 ms"),
        ({"graph": {"ms": 6.5}, "steps": []}, "graph 6.5 ms"),
    ],
)  # fmt: skip
def test_a_finding_in_one_line(finding, line):
    assert stages.told(finding) == line


def test_a_machine_with_a_gpu_needs_nothing_of_the_tests_but_numpy():
    """It has CuPy and PyTorch, and perhaps no pytest and no package index."""
    program = """
import sys, types
for name in ("pytest", "platformdirs", "torchvision", "timm", "scipy", "matplotlib"):
    sys.modules[name] = None
from benchmarks import gpu_report
from benchmarks.gpu import calls, worker
from benchmarks.gpu.bench import Bench
from tests.support.checkout import REPOSITORY
bench = Bench(types.SimpleNamespace(name="NVIDIA H200", capability=90, multiprocessors=132), None)
print(all(list(stage.cases(bench)) for stage in calls.STAGES))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.stdout == "True\n", done.stderr
