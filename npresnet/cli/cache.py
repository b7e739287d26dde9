"""`npresnet prepare` and `npresnet cache`: prepared weights, and what else npresnet keeps."""

from __future__ import annotations

import os
import time
from argparse import Namespace
from pathlib import Path

from npresnet.cli.shared import FINE, complain, decisions_of
from npresnet.system.text import visible

HELD = (("tuning.json", "tuning"), ("cuda_tuning.json", "tuning"), ("cuda", "CUDA kernels"))


def prepare(args: Namespace) -> int:
    """Write prepared weights of a file."""
    import npresnet

    decided = decisions_of(args)
    del decided["labels"]  # no weight depends on them
    shape = {"input_size": args.input_size, "batch_size": args.batch_size}
    how = {"threads": args.threads, "fast": args.fast, "winograd": not args.no_winograd}
    file = npresnet.prepare(args.model, **shape, **how, **decided)
    complain(f"prepared {visible(args.model)}: {visible(str(file))}, {os.path.getsize(file):,} bytes")
    return FINE


def cache(args: Namespace) -> int:
    """Show what npresnet keeps in the user's cache, or delete the prepared weights."""
    return _clear() if args.action == "clear" else _info()


def _info() -> int:
    from npresnet.cpu.compiler.prepared_file import name_in
    from npresnet.cpu.compiler.prepared_folder import LIMIT_BYTES, VARIABLE, kept_in
    from npresnet.weights.source import shown

    place = _place()
    if place is None:
        return FINE
    kept = kept_in(place / "prepared")
    print(f"folder       {visible(str(place))}")
    off = f"; {VARIABLE}=0: not used" if os.environ.get(VARIABLE) == "0" else ""
    print(f"prepared     {_sizes([one.size_bytes for one in kept])} of at most {LIMIT_BYTES / 1e6:,.0f} MB{off}")
    for one in kept:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.used_s))
        print(f"  {one.path.name}  {one.size_bytes / 1e6:8,.1f} MB  last used {used}  {shown(name_in(one.path))}")
    for title, sizes in _others(place).items():
        print(f"{title:<13}{_sizes(sizes)}")
    return FINE


def _clear() -> int:
    from npresnet.cpu.compiler.prepared_folder import clear

    place = _place()
    gone = [] if place is None else clear(place / "prepared")
    complain(f"deleted {_sizes([one.size_bytes for one in gone])} of prepared weights; downloads were kept")
    return FINE


def _place() -> Path | None:
    from npresnet.system.cache import cache_folder

    try:
        return cache_folder()
    except RuntimeError as problem:  # no home folder
        complain(f"there is no cache: {problem}")
        return None


def _others(place: Path) -> dict[str, list[int]]:
    """Sizes of what else is in the folder, by kind."""
    kinds = dict(HELD)
    found: dict[str, list[int]] = {kind: [] for kind in ("downloads", *kinds.values())}
    for path in sorted(place.glob("*")):
        if path.name != "prepared":
            files = path.rglob("*") if path.is_dir() else [path]
            found[kinds.get(path.name, "downloads")] += [file.lstat().st_size for file in files if file.is_file()]
    return found


def _sizes(sizes: list[int]) -> str:
    return f"{len(sizes)} file{'' if len(sizes) == 1 else 's'}, {sum(sizes) / 1e6:,.1f} MB"
