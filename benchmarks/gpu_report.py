"""All measurements and checks on a GPU, in three calls of at most nine minutes.

    python benchmarks/gpu_report.py --prepare references.npz        before: float64 logits, on any CPU
    python benchmarks/gpu_report.py --references references.npz --call 1 --output h200.json      is it right?
    python benchmarks/gpu_report.py --references references.npz --call 2 --resume h200.json      how fast is it?
    python benchmarks/gpu_report.py --references references.npz --call 3 --resume h200.json      the long, and the rest

A call that has remaining cases says so, and goes on when called again. Without --call, all stages run until they are
done. Other ways to choose:

    python benchmarks/gpu_report.py --stage conformance parity      these only
    python benchmarks/gpu_report.py --case "tuning: resnet50"       all cases of which this is a part, measured again
    python benchmarks/gpu_report.py --again                         all, measured again
    python benchmarks/gpu_report.py --quick --output first.json     a trial: few rounds and cases

Each case is stored as it ends, in the JSON file; a log and tables lie beside it. Cases run in a child process. One that
hangs, dies, or breaks CUDA is recorded as that, and the rest go on in a new child; after two of one launcher or dtype,
the others of it are left out of this call. What hung or died is left out of later calls too, unless --case or --again
asks for it. What failed otherwise is measured again, and so is what was measured with --quick by a call without it.
PyTorch is a peer where it is installed and supports the GPU; its columns are missing otherwise. Close other programs
that use the GPU.

--emulator runs every stage on tiny shapes through the tests' emulator, on the CPU: it tests the report, not the GPU,
and takes no times. It needs a checkout, g++ and --output or --resume.
"""

from __future__ import annotations

import argparse
import re
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

if not __package__:  # run as a script: npresnet, benchmarks and tests.emulator are those of this checkout
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.gpu import calls, references
from benchmarks.gpu.record import Conditions, Record, commit
from benchmarks.gpu.stages import Stage
from benchmarks.gpu.supervisor import NO_DEADLINE, Supervisor, run_stage
from benchmarks.kit.script import RESULTS, command, say
from npresnet.bench import torchvision_models
from npresnet.bench.process import WorkerDiedError, WorkerError, WorkerHungError
from npresnet.cuda import ELEMENTS

IMAGE_SIZE = 224
DEVICE = re.compile(r"cuda(:\d+)?")


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    listed = "".join(f"\n  {stage.call}  {stage.name:12} {stage.meaning}" for stage in calls.STAGES)
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=f"calls and stages:{listed}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names, dtypes = [stage.name for stage in calls.STAGES], list(ELEMENTS)
    parser.add_argument("--call", type=int, choices=calls.CALLS, help="the stages of one call, within nine minutes")
    parser.add_argument("--stage", nargs="+", choices=names, metavar="S", help="these stages; default: all")
    parser.add_argument("--case", action="append", metavar="NAME", help='a part of "stage: case"; may be repeated')
    parser.add_argument("--dtype", nargs="+", choices=dtypes, default=dtypes, metavar="D", help="default: all four")
    parser.add_argument("--device", default="cuda", help="cuda (the default), cuda:1, ...")
    parser.add_argument("--again", action="store_true", help="measure what the results file holds already, too")
    parser.add_argument("--quick", action="store_true", help="few rounds and cases: to try it out, not to publish")
    files = parser.add_mutually_exclusive_group()
    files.add_argument("--output", type=Path, metavar="FILE", help="a new results file")
    files.add_argument("--resume", type=Path, metavar="FILE", help="a results file to go on with")
    parser.add_argument("--references", type=Path, metavar="FILE", help="float64 logits that --prepare wrote")
    parser.add_argument("--prepare", type=Path, metavar="FILE", help="write float64 logits, and end; needs no GPU")
    parser.add_argument("--commit", help="of this code, where it is a copy without git")
    parser.add_argument("--emulator", action="store_true", help="tiny shapes on the CPU, no times")
    options = parser.parse_args(arguments)
    if options.emulator and not (options.output or options.resume):
        parser.error("--emulator requires --output or --resume: its findings are not results")
    if not DEVICE.fullmatch(options.device):
        parser.error(f'--device is cuda, cuda:1, ..., got "{options.device}"')
    for file in filter(None, (options.output, options.resume)):
        if file.suffix != ".json":
            parser.error(f"{file} does not end with .json: .md and .log beside it would replace it")
    if options.output and options.output.exists():
        parser.error(f"{options.output} exists: --resume {options.output} goes on with it")
    for file in filter(None, (options.resume, options.references)):
        if not file.is_file():
            parser.error(f"{file} does not exist, or is no file")
    return options


def main(arguments: list[str]) -> int:
    """Run the stages. 1 without a GPU, where a case failed, and where a call has remaining cases."""
    options = parse(arguments)
    try:
        if options.prepare:
            references.prepare(options.prepare, torchvision_models.names(), IMAGE_SIZE, say)
            return 0
        references.References(options.references)  # the child reads it too, but can only die of it
    except (OSError, ValueError) as error:
        print(f"gpu_report.py: {error}", file=sys.stderr)
        return 2
    deadline = time.monotonic() + calls.CALL_S if options.call else NO_DEADLINE
    request = {"device": options.device, "emulated": options.emulator, "quick": options.quick}
    request |= {"dtypes": options.dtype, "references": str(options.references.resolve()) if options.references else ""}
    with Supervisor(request) as supervisor:
        try:
            opened = supervisor.open()
        except (WorkerDiedError, WorkerHungError) as error:
            print(f"gpu_report.py: the process that was to use the GPU {error}", file=sys.stderr)
            return 1
        except WorkerError as error:
            print(f"gpu_report.py needs an NVIDIA GPU: {error}", file=sys.stderr)
            return 1
        now = Conditions(options.commit or commit(), options.quick, options.emulator)
        try:
            wanted = _wanted(options, opened["cases"])
            record = Record.open(_path(options, opened["gpu"]), opened["gpu"], command("gpu_report", arguments), now)
            record.write()  # before anything is measured that could not be kept
        except (OSError, ValueError) as error:
            print(f"gpu_report.py: {error}", file=sys.stderr)
            return 2
        return run(supervisor, record, opened["cases"], _stages(options), wanted, options.again, deadline)


def run(
    supervisor: Supervisor,
    record: Record,
    cases: Mapping[str, Sequence[str]],
    stages: Sequence[Stage],
    wanted: Callable[[str, str], bool] | None,
    again: bool,
    deadline: float,
) -> int:
    """Run the stages; cases already in the file are kept. A GPU on which no child starts any more ends the call."""
    done = True
    try:
        for stage in stages:
            done &= run_stage(
                stage, cases[stage.name], supervisor, record, wanted=wanted, again=again, deadline=deadline
            )
    except WorkerError as error:
        record.say(f"the GPU cannot be used any more: {error}")
        done = False
    record.write()
    record.say(f"written: {record.path.name}, and .log and .md beside it")
    return int(not done or record.has_problems())


def _stages(options: argparse.Namespace) -> list[Stage]:
    found = [stage for stage in calls.STAGES if options.call in (None, stage.call)]
    return [stage for stage in found if stage.name in (options.stage or [stage.name])]


def _wanted(options: argparse.Namespace, cases: Mapping[str, Sequence[str]]) -> Callable[[str, str], bool] | None:
    """Whether --case asks for a case of a stage; None without --case. Raises ValueError for a name of no case."""
    for name in options.stage or ():
        if name not in [stage.name for stage in _stages(options)]:
            raise ValueError(f"stage {name} is not one of call {options.call}")
        if not cases[name]:
            raise ValueError(f"stage {name} has no case in {', '.join(options.dtype)}")
    if not options.case:
        return None
    names = [f"{stage.name}: {case}" for stage in _stages(options) for case in cases[stage.name]]
    for part in options.case:
        if not any(part in name for name in names):
            raise ValueError(f'--case "{part}" is part of none of the {len(names)} cases of these stages and dtypes')
    return lambda stage, case: any(part in f"{stage}: {case}" for part in options.case)


def _path(options: argparse.Namespace, gpu: Mapping[str, Any]) -> Path:
    """gpu-nvidia-h200-2026-01-31.json where no file is given: the calls of one day go on with the same."""
    name = f"gpu-{'-'.join(gpu['name'].lower().split())}-{date.today().isoformat()}.json"
    path: Path = options.output or options.resume or RESULTS / name
    return path


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the case that runs is not taken for one that hung
    sys.exit(main(sys.argv[1:]))
