"""Judge every ResNet of timm and torchvision, and files of other homes: does npresnet compute what PyTorch computes?

    python benchmarks/families.py                          all of them, to benchmarks/results/families.json
    python benchmarks/families.py --only 'resnet50$'       some, printed; with --resume added to the results
    python benchmarks/families.py --page                   docs/families.md from the results
    python benchmarks/families.py --check                  exit 1 where the page differs from the results

Every network is made by its library with random numbers, saved as its users save it, loaded, and compared: by the plain
operations in float64 with PyTorch in float64, and by the error of the CPU backend's float32 beside PyTorch's. All other
architectures are held against the refusals by names and shapes alone. Nothing is downloaded. Needs torch, torchvision
and timm; takes about 20 minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

if not __package__:  # run as a script: npresnet and benchmarks are those of this checkout
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import npresnet
from benchmarks.kit.script import RESULTS, say
from benchmarks.kit.sweep import home_list, jobs, strangers, tables
from benchmarks.kit.sweep.names import resnets
from benchmarks.kit.sweep.verdicts import judged
from npresnet.bench import results

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = RESULTS / "families.json"
PAGE = ROOT / "docs" / "families.md"
LARGE = r"nfnet_f[4-7]|_152x[24]|_101x3|resnetrs420|resnext101_32x(32|48)d"  # one at a time: gigabytes each
LIMIT_S = 600
Entry = dict[str, Any]


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="REGEX", help="architectures and homes whose names match")
    parser.add_argument("--parts", nargs="+", choices=["resnets", "homes", "strangers"], help="by default all")
    parser.add_argument("--resume", action="store_true", help="keep what the results have, and judge the rest")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--limit", type=float, default=LIMIT_S, metavar="SECONDS", help="for each network")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--page", action="store_true", help="only write the page")
    parser.add_argument("--check", action="store_true", help="only compare the page")
    return parser.parse_args(arguments)


def empty() -> Entry:
    """Results without any; nothing in them depends on the machine."""
    versions = {name: version(name).partition("+")[0] for name in ("timm", "torch", "torchvision")}
    entry = {"kind": "families", "command": "python benchmarks/families.py"}
    return {**entry, "versions": {"npresnet": npresnet.__version__, **versions}, **dict.fromkeys(tables.PARTS, ())}


def planned(parts: list[str], only: str | None, done: Entry) -> list[jobs.Job]:
    """What remains to be judged."""
    found: list[jobs.Job] = []
    if "resnets" in parts:
        known = {(row["library"], row["name"]) for row in done["resnets"]}
        names = [name for name in resnets() if (name.library, name.name) not in known]
        found += [
            jobs.Job(judged, (name,), name._asdict(), is_large=re.search(LARGE, name.name) is not None)
            for name in names
            if only is None or re.search(only, name.name)
        ]
    if "homes" in parts:
        known_homes = {row["home"] for row in done["homes"]}
        found += [
            jobs.Job(home_list.judged, (home,), {"home": home})
            for home in home_list.HOMES
            if home not in known_homes and (only is None or re.search(only, home))
        ]
    if "strangers" in parts and only is None and not done["strangers"]:
        found.append(jobs.Job(strangers.judge_strangers, (), {"library": "", "module": ""}, is_large=True, limits=3))
    return found


def part_of(record: Entry) -> str:
    return "homes" if "home" in record else "resnets" if "name" in record else "strangers"


def sweep(options: argparse.Namespace) -> Entry:
    """Judge what is asked for. Records are written as they come, so that --resume can go on."""
    done = json.loads(options.output.read_text(encoding="utf-8")) if options.resume else empty()
    done = {**done, "versions": empty()["versions"], **{part: list(done[part]) for part in tables.PARTS}}
    if options.resume:  # what did not end is tried again
        done |= {part: [row for row in done[part] if row.get("verdict") != "crash"] for part in tables.PARTS}
    waiting = planned(options.parts or list(tables.PARTS), options.only, done)
    writes = options.only is None or options.resume
    count = 0

    def keep(records: list[Entry]) -> None:
        nonlocal count
        count += 1
        for record in records:
            say(f"[{count}/{len(waiting)}] {tables.line(record)}")
            done[part_of(record)].append(record)
        if writes:
            results.write(options.output, tables.in_order(done))

    jobs.run(waiting, processes=options.processes, limit_s=options.limit, keep=keep)
    return tables.in_order(done)


def main(arguments: list[str]) -> int:
    """Judge, and print the summary; or write or check the page. 1 where anything is wrong or crashed."""
    options = parse(arguments)
    if options.page or options.check:
        entry = json.loads(options.output.read_text(encoding="utf-8"))
        old = PAGE.read_text(encoding="utf-8")
        new = tables.page(old, entry)
        if options.page:
            PAGE.write_text(new, encoding="utf-8")
        return int(options.check and new != old)
    entry = sweep(options)
    print(tables.summary(entry))
    return int(tables.has_failed(entry))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
