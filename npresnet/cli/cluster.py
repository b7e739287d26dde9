"""`npresnet predict SOURCE --ray`: the same work on a Ray cluster."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from typing import Any

from npresnet.cli.last_words import last_words
from npresnet.cli.output import SUFFIXES
from npresnet.cli.shared import DEMO_USED, FAILED, FINE, complain, decisions_of
from npresnet.system.progress import progress_bar

MISUSED = 2
# arguments that print, for which there is no place: the rows go to the output
PRINTING = ("json", "jsonl", "csv", "grid")
ENDED = (
    "error: this program was ended before it was done: killed, or by Ray, which ends it when the raylet of its machine "
    "or the cluster's head is gone (killed, out of memory). Rows that are written stay in {}; --resume goes on"
)


def predict(args: Namespace) -> int:
    """Write a row for each picture; 1 if some have errors."""
    wrong = _misuse(args)
    if wrong:
        complain(f"error: {wrong}")
        return MISUSED
    if args.model is None:
        complain(DEMO_USED)
    from npresnet.ray.addresses import without_password

    where = without_password(args.output)
    bar = _Bar() if sys.stderr.isatty() else None
    try:
        with last_words(ENDED.format(where)):
            done = _on_ray(args, bar)
    except KeyboardInterrupt:
        complain(f"what is done is in {where} and goes on with --resume")
        raise
    finally:
        if bar is not None:
            bar.close()
    complain(_told(done))
    return FAILED if done.errors else FINE


def _on_ray(args: Namespace, advance: Any) -> Any:
    from npresnet.ray import predict as predict_on_ray

    return predict_on_ray(
        args.images,
        args.output,
        model="demo" if args.model is None else args.model,
        address=args.ray or None,
        resume=args.resume,
        workers=args.workers,
        num_cpus=args.threads,
        top=args.top or 5,
        batch_size=args.batch_size,
        recursive=getattr(args, "recursive", False),
        advance=advance,
        **_where(args),
        **decisions_of(args),
    )


def _misuse(args: Namespace) -> str:
    """What the arguments lack or have too much of; "" if nothing."""
    if args.ray is None:
        return "--resume and --workers are for --ray"
    if not args.output:
        return "--ray needs -o OUT.parquet, where the rows go"
    if SUFFIXES.get(os.path.splitext(args.output.partition("?")[0])[1].lower(), "parquet") != "parquet":
        return f"--ray writes Parquet: -o OUT.parquet, or a folder of parts, not {args.output}"
    if "-" in args.images:
        return "--ray takes folders, patterns and addresses, not a list on stdin"
    given = next((name for name in PRINTING if getattr(args, name)), None)
    return f"--{given} and --ray exclude each other: the rows go to {args.output}" if given else ""


def _where(args: Namespace) -> dict[str, Any]:
    how = {"fast": args.fast, "winograd": not args.no_winograd, "max_pixels": args.max_pixels}
    return {"device": args.device, "dtype": args.dtype, **how}


def _told(done: Any) -> str:
    parts = [f"{done.images} image{'s' * (done.images != 1)}"]
    again = f" (--resume tries {done.unread} of them again)" if done.unread else ""
    parts += [f"{done.errors} with an error{again}"] if done.errors else []
    parts += [f"{done.skipped} done before"] if done.skipped else []
    parts += (
        [f"{done.deaths} worker{'s' * (done.deaths != 1)} died and {'was' if done.deaths == 1 else 'were'} replaced"]
        if done.deaths
        else []
    )
    return f"wrote {done.output}: {', '.join(parts)}"


class _Bar:
    """A progress bar that begins with the first chunk."""

    def __init__(self) -> None:
        self._bar: Any = None

    def __call__(self, done: int, total: int) -> None:
        if self._bar is None:
            self._bar = progress_bar(total=total, unit="image", file=sys.stderr, leave=False)
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
