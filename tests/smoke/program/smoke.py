#!/usr/bin/env python3
"""Does npresnet work as it is installed here? Needs the installed package and nothing else.

    python smoke.py [--expect NAME=VALUE ...] [--only CHECK ...] [--command FILE] [--bits FILE]

One line a check; exit code 1 if one failed. `python -m tests.smoke` runs it in many environments, and says by --expect
what must be true there (`python`, `core`, `optimize`, `safe_path`, `encoding`, `gil`, `writable`, `every_module`), so
that no environment can turn out to be another one.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import traceback
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # PYTHONSAFEPATH leaves it out

from checks import Smoke

CHECKS = ("interpreter", "package", "kernels", "demo", "resnet18", "files", "workers", "commands", "gil")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--expect", action="append", default=[], metavar="NAME=VALUE", help="what must be true here")
    parser.add_argument("--only", action="append", choices=CHECKS, help="this check; may be given several times")
    parser.add_argument("--command", help="the program to run as `npresnet`")
    parser.add_argument("--bits", help="write the hashes of all logits to this file")
    options = parser.parse_args()
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        smoke = Smoke(options, Path(folder))
        for name in options.only or CHECKS:
            try:
                seen, verdict = getattr(smoke, name)(), "ok"
            except Exception as error:
                traceback.print_exc()
                seen, verdict = f"{type(error).__name__}: {error}", "FAILED"
                failures += 1
            print(ascii(f"{verdict:<7} {name:<12} {seen}")[1:-1], flush=True)
        if options.bits:
            Path(options.bits).write_text(json.dumps(smoke.bits), encoding="utf-8")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
