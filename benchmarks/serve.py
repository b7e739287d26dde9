"""Requests per second and their times on loopback, against the number of clients.

    python benchmarks/serve.py                          `npresnet serve` beside benchmarks/serve_peers
    python benchmarks/serve.py --quick                  a second of each; kept only where --output says so
    python benchmarks/serve.py --page                   docs/serving.md from the newest results
    python benchmarks/serve.py --check                  exit 1 where the page differs from them

A ResNet-18 with random weights, one photo, each client asks again as soon as it is answered. The servers run one at a
time, in turn, with the same number of threads; the load is made on the same machine. It stops by itself after
servers x clients x rounds x seconds.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

if not __package__:  # run as a script: npresnet and benchmarks are those of this checkout
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.kit.cold import operators_to_declare
from benchmarks.kit.load import Load, LoadError, load, request_of, running
from benchmarks.kit.pages import replaced
from benchmarks.kit.script import RESULTS, command, default_path, default_text, say
from npresnet.bench import machine, results, tables
from npresnet.bench.arguments import count
from npresnet.bench.compare import Settings, prepare_apart
from npresnet.bench.prepare import Request
from npresnet.bench.process import worker_environ
from npresnet.bench.table import Table
from npresnet.bench.tables import NO_TIME
from npresnet.bench.timing import rotated

HERE = Path(__file__).resolve().parent
PHOTO = HERE.parent / "npresnet" / "data" / "chelsea.jpg"
PAGE = HERE.parent / "docs" / "serving.md"
MARKERS = ("<!-- serve:start -->", "<!-- serve:end -->")
LIBRARIES = ("numpy", "pillow", "starlette", "uvicorn", "fastapi", "torch", "torchvision")
NOTHING_MEASURED = "Nothing has been measured yet: `python benchmarks/serve.py` measures, and writes its table here."
TITLES = {"npresnet": "npresnet serve", "fastapi": "FastAPI + PyTorch"}
NEEDS = {"npresnet": ("starlette", "uvicorn"), "fastapi": ("fastapi", "python_multipart", "torch", "torchvision")}
Entry = dict[str, Any]


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet18", help="a name, with random weights, or a weight file")
    parser.add_argument("--image", type=Path, default=PHOTO)
    parser.add_argument("--clients", type=count, nargs="+", default=[1, 4, 16])
    parser.add_argument("--seconds", type=count, default=10, help="of each round")
    parser.add_argument("--rounds", type=count, default=3)
    parser.add_argument("--threads", type=count, default=2)
    parser.add_argument("--servers", nargs="+", choices=TITLES, default=list(TITLES))
    parser.add_argument("--quick", action="store_true", help="one round of one second")
    parser.add_argument("--output", type=Path, help=default_text("serve"))
    parser.add_argument("--page", action="store_true", help="only write the page")
    parser.add_argument("--check", action="store_true", help="only compare the page")
    return parser.parse_args(arguments)


def start_command(server: str, model: str, threads: int) -> list[str]:
    """How a server is started."""
    if server == "npresnet":
        words = ["-m", "npresnet", "serve", "--port", "0", "--model", model, "--threads", str(threads)]
        return [sys.executable, *words]
    return [sys.executable, str(HERE / "serve_peers" / f"{server}_torch.py"), model, str(threads)]


def measure(options: argparse.Namespace, model: str) -> list[Entry]:
    """For each number of clients and each server what it did, or why nothing."""
    environ = worker_environ(options.threads)
    environ["PYTHONPATH"] = os.pathsep.join([str(HERE / "cold"), environ["PYTHONPATH"]])
    environ["TORCHVISION_OPERATORS"] = operators_to_declare(environ) if "fastapi" in options.servers else ""
    request = request_of(options.image.read_bytes())
    rounds, seconds = (1, 1) if options.quick else (options.rounds, options.seconds)
    cases = [
        {"clients": clients, "servers": {name: _before(name) for name in options.servers}}
        for clients in options.clients
    ]
    for number in range(rounds):
        for name in rotated(options.servers, number):
            if all(case["servers"][name]["status"] == "ok" for case in cases):
                _one_round(name, start_command(name, model, options.threads), environ, request, cases, seconds)
        say(f"round {number + 1} of {rounds}")
    for case in cases:
        for found in case["servers"].values():
            spent = found.pop("load")
            found |= spent.to_dict() if found["status"] == "ok" else {}
    return cases


def _before(server: str) -> Entry:
    missing = [library for library in NEEDS[server] if importlib.util.find_spec(library) is None]
    status = {"status": "absent", "reason": f"needs {', '.join(missing)}"} if missing else {"status": "ok"}
    return {**status, "load": Load()}


def _one_round(
    name: str, start: list[str], environ: Mapping[str, str], request: bytes, cases: list[Entry], seconds: float
) -> None:
    """Start one server, and let all numbers of clients ask it."""
    try:
        with running(start, environ) as port:
            load(port, request, 1, min(1.0, seconds))  # the first requests of a process are not counted
            for case in cases:
                found, index = load(port, request, case["clients"], seconds)
                entry = case["servers"][name]
                entry["load"].times_ms += found.times_ms
                entry["load"].seconds += found.seconds
                if case.setdefault("index", index) != index:
                    raise LoadError(f"answered class {index}, another server {case['index']}")
    except LoadError as problem:
        for case in cases:
            case["servers"][name] |= {"status": "failed", "reason": str(problem)}


def table(entry: Entry) -> Table:
    """One row for each number of clients and server."""
    rows = []
    for case in entry["cases"]:
        for name, found in case["servers"].items():
            if found["status"] != "ok":
                cells = [NO_TIME[found["status"]], "", "", ""]
            else:
                cells = [f"{found['requests_per_s']:.1f}", *(f"{found[f'p{share}_ms']:.0f}" for share in (50, 95, 99))]
            rows.append([str(case["clients"]), TITLES[name], *cells])
    return Table(["clients", "server", "requests/s", "p50 ms", "p95 ms", "p99 ms"], rows, texts=(1,))


def problems(entry: Entry) -> list[str]:
    """A sentence for each server without figures."""
    found = {name: server for case in entry["cases"] for name, server in case["servers"].items()}
    return [
        f"{TITLES[name]}: {NO_TIME[of['status']]} ({of['reason']})"
        for name, of in found.items()
        if of["status"] != "ok"
    ]


def section(entry: Entry | None) -> str:
    """The part of the page between its markers."""
    if entry is None:
        return NOTHING_MEASURED
    made_by = f"Made by `{entry['command']}`, {entry['model']}. {tables.conditions({**entry, 'cases': ()})}"
    return "\n\n".join([table(entry).to_markdown(), *problems(entry), made_by])


def newest(folder: Path) -> Entry | None:
    """The newest results of this script."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("serve-*.json"))]
    return max(found, key=lambda entry: str(entry["date"])) if found else None


def main(arguments: list[str]) -> int:
    """Measure, print the table, write the JSON and the page. 1 where an installed server failed."""
    options = parse(arguments)
    if options.page or options.check:
        return _page(is_check=options.check)
    with tempfile.TemporaryDirectory(prefix="npresnet-serve-") as folder:
        model = options.model
        if not Path(model).is_file():
            say("preparing weights")
            model = prepare_apart(Request(model, folder, onnx="npresnet"), Settings(options.threads)).model
        cases = measure(options, model)
    shown = {
        "threads": options.threads,
        "model": Path(options.model).name,
        "versions": machine.library_versions(LIBRARIES),
    }
    entry = results.header("serve", command("serve", arguments), **shown, cases=cases)
    print("\n".join([table(entry).to_text(), "", *problems(entry), tables.conditions({**entry, "cases": ()})]))
    path = options.output or (None if options.quick else default_path("serve", entry))
    if path:
        results.write(path, entry)
        if path.parent == RESULTS:
            _page(is_check=False)
    return int(any(found["status"] == "failed" for case in cases for found in case["servers"].values()))


def _page(*, is_check: bool) -> int:
    old = PAGE.read_text(encoding="utf-8")
    new = replaced(old, [section(newest(RESULTS))], MARKERS)
    if not is_check:
        PAGE.write_text(new, encoding="utf-8")
        return 0
    return int(new != old)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
