"""Everything there is to measure and to prove on a GPU, in stages that go on where they were cut off.

    python benchmarks/gpu_report.py                                 all stages, on the first GPU
    python benchmarks/gpu_report.py --stage conformance parity      these alone
    python benchmarks/gpu_report.py --stage peers --again           measured anew
    python benchmarks/gpu_report.py --quick --output first.json     a first look: few rounds and batches

Each stage ends within eight minutes; one that says it has more to do goes on when it is called again. What is found is
kept at once, in benchmarks/results/gpu-<name>-<date>.json and a Markdown file beside it. PyTorch is a peer where it is
installed and sees the GPU; its columns are missing otherwise. Close other programs that use the GPU.

--emulator runs every stage on tiny shapes through the tests' emulator, on the CPU: it proves the report, not the GPU,
and takes no times. It needs a checkout, g++ and --output.
"""

from __future__ import annotations

import argparse
import functools
import shlex
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the checkout: npresnet, and tests.emulator

import numpy as np

from npresnet import DeviceError
from npresnet.bench import (
    gpu_ceilings,
    gpu_kernels,
    gpu_networks,
    gpu_parity,
    gpu_sanitizer,
    gpu_stages,
    gpu_tables,
    results,
)
from npresnet.bench.gpu_bench import Bench
from npresnet.bench.gpu_stages import Case, Finding, Stage
from npresnet.bench.gpu_torch import find_peer
from npresnet.cuda import ELEMENTS, open_gpu

POISON = 0xFF  # NaN in every float
RESULTS = Path(__file__).resolve().parent / "results"


def conformance_cases(bench: Bench) -> Iterator[Case]:
    """Each intrinsic on fixed data, against what the emulator made of it."""
    from tests.emulator import conformance

    for case in conformance.cases(bench.gpu.capability):
        yield Case(case.name, functools.partial(_conform, bench, case))


def _conform(bench: Bench, case) -> Finding:
    from tests.emulator import conformance

    gpu, stream = bench.gpu, bench.stream
    output = np.full(case.expected.nbytes, POISON, np.uint8)
    arrays = [*(np.ascontiguousarray(array) for array in case.inputs), output]
    buffers = [gpu.allocate(array.nbytes, "an intrinsic's numbers: this") for array in arrays]
    *inputs, result = (buffer.address for buffer in buffers)
    calls = gpu.bind(case.launches(inputs, result))
    with gpu.active():
        for buffer, array in zip(buffers, arrays, strict=True):
            gpu.upload(buffer.address, array, stream)
        gpu.run(calls, stream)
        gpu.download(output, result, stream)
        stream.synchronize()
    problem = conformance.difference(case, output.view(case.expected.dtype).reshape(case.expected.shape))
    return {"problem": problem} if problem else {"result": "as the emulator's"}


STAGES = (
    Stage("conformance", "every intrinsic against the emulator's golden files", conformance_cases),
    Stage("parity", "all networks and precisions against float64 and PyTorch", gpu_parity.cases),
    Stage("sanitizer", "compute-sanitizer on a small network", gpu_sanitizer.cases),
    Stage("ceilings", "how fast memory is copied and matrices are multiplied", gpu_ceilings.cases),
    Stage("kernels", "every kernel's share of the roofline", gpu_kernels.cases),
    Stage("peers", "resnet18 and resnet50 beside PyTorch eager", gpu_networks.peers),
    Stage("compiled", "resnet18 and resnet50 beside torch.compile", gpu_networks.compiled),
    Stage("networks", "the other networks beside PyTorch eager", gpu_networks.others),
)


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    stages = "".join(f"\n  {stage.name:12} {stage.meaning}" for stage in STAGES)
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=f"stages:{stages}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [stage.name for stage in STAGES]
    parser.add_argument("--stage", nargs="+", choices=names, default=names, metavar="S", help="default: all")
    parser.add_argument(
        "--dtype", nargs="+", choices=list(ELEMENTS), default=list(ELEMENTS), metavar="D", help="default: all four"
    )
    parser.add_argument("--device", default="cuda", help="cuda (the default), cuda:1, ...")
    parser.add_argument("--again", action="store_true", help="measure what the results file holds already, too")
    parser.add_argument("--quick", action="store_true", help="few rounds and cases: to try it out, not to publish")
    parser.add_argument("--output", type=Path, help="default: results/gpu-<name>-<date>.json beside this file")
    parser.add_argument("--emulator", action="store_true", help="tiny shapes on the CPU, no times; needs --output")
    options = parser.parse_args(arguments)
    if options.emulator and options.output is None:
        parser.error("--emulator writes only where --output says: what it finds is no result")
    return options


def main(arguments: list[str]) -> int:
    """Run the stages. 1 without a GPU, where a case failed, and where a stage has more to do."""
    options = parse(arguments)
    with ExitStack() as stack:
        if options.emulator:
            stack.enter_context(emulated_machine())
        try:
            gpu = open_gpu(options.device)
        except DeviceError as error:
            print(f"gpu_report.py needs an NVIDIA GPU: {error}", file=sys.stderr)
            return 1
        peer = None if options.emulator else find_peer()
        bench = Bench(gpu, gpu.stream(), peer, options.dtype, emulated=options.emulator, quick=options.quick)
        return run(bench, options, command(arguments))


def run(bench: Bench, options: argparse.Namespace, told: str) -> int:
    """Every stage that was asked for; what the file holds already is kept."""
    path = options.output or RESULTS / gpu_stages.file_name(bench, date.today().isoformat())
    entry = results.read(path) or gpu_stages.header(bench, told)
    done = True
    for stage in STAGES:
        if stage.name in options.stage:
            keep = functools.partial(write, path)
            done &= gpu_stages.run_stage(stage, bench, entry, keep=keep, say=_say, again=options.again)
    write(path, entry)
    _say(f"written: {path.name} and {path.with_suffix('.md').name}")
    return int(not done or gpu_stages.has_problems(entry))


def write(path: Path, entry: Finding) -> None:
    """The results, and their tables beside them."""
    results.write(path, entry)
    path.with_suffix(".md").write_text(gpu_tables.report(entry), encoding="utf-8")


def command(arguments: list[str]) -> str:
    """How this was called; of files only their names, for results are published."""
    return shlex.join(["python", "benchmarks/gpu_report.py", *(results.without_folder(word) for word in arguments)])


@contextmanager
def emulated_machine() -> Iterator[None]:
    """A machine whose GPU is the tests' emulator of kernels behind CuPy's calling convention."""
    import pytest

    from tests.emulator.cupy_stand_in import CupyStandIn

    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        stand_in = CupyStandIn(capability=90, multiprocessors=4)
        stand_in.install(patch, Path(folder))
        try:
            yield
        finally:
            stand_in.forget()  # a later caller in this process shall not be given the emulated GPU
        stand_in.check()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
