"""All measurements and checks on a GPU, in stages that resume where they were interrupted.

    python benchmarks/gpu_report.py                                 all stages, on the first GPU
    python benchmarks/gpu_report.py --stage conformance parity      these only
    python benchmarks/gpu_report.py --stage peers --again           measure again
    python benchmarks/gpu_report.py --quick --output first.json     a trial: few rounds and batches

Each stage ends within eight minutes; one that reports remaining cases resumes when called again. Results are stored
immediately, in benchmarks/results/gpu-<name>-<date>.json and a Markdown file beside it. PyTorch is a peer where it is
installed and supports the GPU; its columns are missing otherwise. Close other programs that use the GPU.

--emulator runs every stage on tiny shapes through the tests' emulator, on the CPU: it tests the report, not the GPU,
and takes no times. It needs a checkout, g++ and --output.
"""

from __future__ import annotations

import argparse
import functools
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path

if not __package__:  # run as a script: npresnet, benchmarks and tests.emulator are those of this checkout
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.gpu import ceilings, conformance, kernels, networks, parity, sanitizer, stages, tables
from benchmarks.gpu.bench import Bench
from benchmarks.gpu.stages import Finding, Stage
from benchmarks.gpu.torch_peer import find_peer
from benchmarks.kit.script import RESULTS, command, read, say
from npresnet import DeviceError
from npresnet.bench import results
from npresnet.cuda import ELEMENTS, open_gpu

STAGES = (
    Stage("conformance", "every intrinsic against the emulator's golden files", conformance.cases),
    Stage("parity", "all networks and precisions against float64 and PyTorch", parity.cases),
    Stage("sanitizer", "compute-sanitizer on a small network", sanitizer.cases),
    Stage("ceilings", "how fast memory is copied and matrices are multiplied", ceilings.cases),
    Stage("kernels", "every kernel's share of the roofline", kernels.cases),
    Stage("peers", "resnet18 and resnet50 beside PyTorch eager", networks.peers),
    Stage("compiled", "resnet18 and resnet50 beside torch.compile", networks.compiled),
    Stage("networks", "the other networks beside PyTorch eager", networks.others),
)


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    listed = "".join(f"\n  {stage.name:12} {stage.meaning}" for stage in STAGES)
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=f"stages:{listed}", formatter_class=argparse.RawDescriptionHelpFormatter
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
        parser.error("--emulator writes only where --output says: its findings are not results")
    return options


def main(arguments: list[str]) -> int:
    """Run the stages. 1 without a GPU, where a case failed, and where a stage has remaining cases."""
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
        stream, about = gpu.stream(), {"emulated": options.emulator, "quick": options.quick}
        bench = Bench(gpu, stream, **about, peer=peer, precisions=options.dtype)
        return run(bench, options, command("gpu_report", arguments))


def run(bench: Bench, options: argparse.Namespace, told: str) -> int:
    """Run the stages named in `options`; cases already in the file are kept."""
    path = options.output or RESULTS / stages.file_name(bench, date.today().isoformat())
    entry = read(path) or stages.header(bench, told)
    done = True
    for stage in STAGES:
        if stage.name in options.stage:
            keep = functools.partial(write, path)
            done &= stages.run_stage(stage, bench, entry, keep=keep, say=say, again=options.again)
    write(path, entry)
    say(f"written: {path.name} and {path.with_suffix('.md').name}")
    return int(not done or stages.has_problems(entry))


def write(path: Path, entry: Finding) -> None:
    """The results, and their tables beside them."""
    results.write(path, entry)
    path.with_suffix(".md").write_text(tables.report(entry), encoding="utf-8")


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
            stand_in.forget()  # so that no later caller in this process gets the emulated GPU
        stand_in.check()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
