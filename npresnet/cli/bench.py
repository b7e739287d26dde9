"""`npresnet bench`: npresnet beside the engines that are installed, or its own time layer by layer.

A thin shell over `npresnet.bench`: stdout gets the tables (or, with `--json -`, the JSON alone), stderr the progress.
"""

from __future__ import annotations

import json
import shlex
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from npresnet.cli.shared import FAILED, FINE, STDOUT, check_outputs, complain
from npresnet.system.files import is_special

BATCHES, LAYERS_BATCHES, TUNED_BATCHES = [1, 8], [1], [1, 32, 256]


def bench(args: Namespace) -> int:
    """Measure, print tables, keep JSON. 1 where a model was left out or an engine that is installed shows no time."""
    if args.tune:
        if args.isa:
            complain("--isa holds the processes of a comparison; --tune measures in this one, as it is")
        return _tune(args)
    from npresnet.bench import results
    from npresnet.bench.run import has_failed, report_text

    path = None if args.json in (None, STDOUT) else Path(args.json)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        check_outputs(args, args.models, args.json)
    is_file = path is not None and not is_special(args.json)

    def keep(entry: dict[str, Any]) -> None:
        """After every case, so that a cut loses little."""
        if path is not None and is_file:
            results.write(path, entry)

    entry = (_layers if args.layers else _race)(args, keep)
    if path is not None and not is_file:  # a pipe takes one text
        results.write(path, entry)
    print(json.dumps(entry, indent=1) if args.json == STDOUT else report_text(entry))
    return FAILED if has_failed(entry) else FINE


def _tune(args: Namespace) -> int:
    """Measure the layers of each model; what is clearly faster than the built-in rules is kept for later loads."""
    if args.device != "cpu":
        return _tune_gpu(args)
    from npresnet.bench import tune
    from npresnet.cpu.compiler import tuning

    rounds = tune.QUICK_ROUNDS if args.quick else tune.ROUNDS
    tuned: dict[str, tune.Tuned] = {}
    place = tuning.save({})  # where that fails, it shall be before minutes of measuring
    for model in args.models:
        for entry in tune.tune_model(model, args.size, rounds=rounds, known=tuned):
            tuned[str(entry.layer)] = entry
            complain(f"{entry.layer}: {entry.best}")
        tuning.save({layer: entry.best if entry.best != entry.built_in else None for layer, entry in tuned.items()})
    print(tune.table(list(tuned.values())).to_text())
    complain(f"kept in {place}; delete that file to go back to the built-in rules")
    return FINE


def _tune_gpu(args: Namespace) -> int:
    """The same for every kernel and tile of a GPU's convolutions, batch size by batch size."""
    from npresnet.bench import tune_gpu

    rounds = tune_gpu.QUICK_ROUNDS if args.quick else tune_gpu.ROUNDS
    where = tune_gpu.Where.of(args.device, args.dtype)
    tuned: dict[str, tune_gpu.Tuned] = {}
    place = where.save([])  # where that fails, it shall be before minutes of measuring
    for model in args.models:
        for batch in args.batches or TUNED_BATCHES:
            for entry in tune_gpu.tune_model(model, batch, args.size, where, rounds=rounds, known=tuned):
                tuned[entry.key] = entry
                complain(f"{entry.key}: {entry.best}")
            where.save(tuned.values())
    print(tune_gpu.table(list(tuned.values())).to_text())
    complain(f"kept in {place}; delete that file to go back to the built-in rules")
    return FINE


def _race(args: Namespace, keep: Any) -> dict[str, Any]:
    from npresnet.bench.arguments import settings_of
    from npresnet.bench.engines import installed
    from npresnet.bench.run import Race, run
    from npresnet.cpu import default_threads

    args.threads = args.threads or default_threads().number
    args.batches = args.batches or BATCHES
    args.engines = args.engines or installed(fast=args.fast)
    race = Race(_found(args.models), args.batches, _with_fast(args.engines, args.fast), args.size, onnx=args.onnx)
    return run(race, settings_of(args, args.threads), command=_command(args), say=complain, keep=keep)


def _found(models: Sequence[str]) -> list[str]:
    """The models, of the demo the path of its file: to the benchmark what is no file is a name of random weights."""
    from npresnet.model.finding import DEMO, DEMO_NAMES

    return [str(DEMO) if model in DEMO_NAMES and not Path(model).exists() else model for model in models]


def _layers(args: Namespace, keep: Any) -> dict[str, Any]:
    from npresnet.bench.arguments import settings_of
    from npresnet.bench.run import Race, run_layers

    if args.engines or (args.threads or 1) > 1:
        complain("times by layer are of npresnet alone, on one thread: threads that overlap would have none")
    args.engines, args.threads = None, 1
    args.batches = args.batches or LAYERS_BATCHES
    options: dict[str, Any] = {"fast": True} if args.fast else {}
    if args.device != "cpu":
        options |= {"device": args.device, "dtype": args.dtype}
    settings = replace(settings_of(args, threads=1), options=options)
    race = Race(_found(args.models), args.batches, size=args.size)
    return run_layers(race, settings, command=_command(args), say=complain, keep=keep)


def _with_fast(engines: list[str], fast: bool) -> list[str]:
    """--fast beside the default, whatever else was chosen."""
    from npresnet.bench.engines import FAST

    return [FAST, *engines] if fast and FAST not in engines else engines


def _command(args: Namespace) -> str:
    """How to run this again, defaults spelled out; of files only their names, for results are published."""
    from npresnet.bench.results import without_folder

    words = ["npresnet", "bench", *(without_folder(model) for model in args.models)]
    words += [f"--{name}" for name in ("layers", "fast", "quick") if getattr(args, name)]
    words += ["--batches", *map(str, args.batches), "--threads", str(args.threads)]
    words += ["--engines", *args.engines] if args.engines else []
    words += ["--onnx", args.onnx] if args.onnx != "auto" and not args.layers else []
    words += ["--size", str(args.size), "--rounds", str(args.rounds), "--seconds", f"{args.seconds:g}"]
    words += ["--device", args.device, "--dtype", args.dtype] if args.device != "cpu" else []
    words += ["--isa", args.isa] if args.isa else []
    return shlex.join(words)
