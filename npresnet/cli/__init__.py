"""The command `npresnet`: one function per subcommand.

    parser    arguments and help
    predict   predict
    cluster   predict --ray; last_words: what is said if Ray ends the process
    evaluate  eval
    files     convert, inspect, summary
    embed     embed
    cam       cam
    serve     serve
    bench     bench
    pages     explain, trace
    teach     ladder, exercise, diff
    machine   doctor, demo
    cache     prepare, cache
    paths     which images the arguments mean; progress
    stdin     `-`: paths, or the bytes of an image
    completion  what a shell completes
    shared    models from arguments, messages
    output    records as text, JSON, JSON Lines, CSV, Parquet, on stdout or in a file

stdout carries only data; messages and progress go to stderr. Exit code 0: success, 1: something failed, 2: wrong usage.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from npresnet.cli.parser import make_parser
from npresnet.cli.shared import FAILED, MISUSED, complain
from npresnet.errors import AmbiguityWarning, NpresnetError
from npresnet.system.text import visible

INTERRUPTED, PIPE_CLOSED = 130, 141  # 128 + signal number, as in shells


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Wrong usage raises SystemExit(2), as in argparse."""
    _prepare_streams()
    parser = make_parser()
    if "_ARGCOMPLETE" in os.environ:
        from npresnet.cli.completion import complete

        complete(parser)
    if not (sys.argv[1:] if argv is None else argv):
        parser.print_help(sys.stderr)
        return MISUSED
    args = parser.parse_args(_help_wanted(argv))
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = _show_warning
        with _pillow_allows(getattr(args, "max_pixels", None)):
            code = _run(args)
    if argv is None:  # skips the last garbage collection, a tenth of a process's time
        gc.freeze()
    return code


def _help_wanted(argv: Sequence[str] | None) -> Sequence[str] | None:
    """`npresnet help [COMMAND]` as people type it."""
    words = list(sys.argv[1:] if argv is None else argv)
    return [*words[1:2], "--help"] if words[:1] == ["help"] else argv


@contextlib.contextmanager
def _pillow_allows(max_pixels: int | None) -> Iterator[None]:
    """In this process, a command's own, Pillow's limit follows --max-pixels: it checks some formats while decoding."""
    if max_pixels is None:
        yield
        return
    from PIL import Image

    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None if before is None else max(before, max_pixels)
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _run(args: Any) -> int:
    try:
        code: int = args.run(args)
        sys.stdout.flush()
        return code
    except NpresnetError as error:
        complain(f"error: {error}")
    except BrokenPipeError:  # the reader of stdout has exited: discard what is still buffered
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except OSError as error:
        complain(f"error: {visible(str(error.filename or 'the output'))}: {error.strerror or error}")
    except MemoryError:
        complain("error: not enough memory; try --batch-size 1, or smaller images")
    except KeyboardInterrupt:
        complain("interrupted")
        return INTERRUPTED
    return FAILED


def _prepare_streams() -> None:
    """Replace closed streams by os.devnull; make undecodable file names printable."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - open until the end
    if hasattr(sys.stdin, "reconfigure"):
        sys.stdin.reconfigure(errors="surrogateescape")
    stdout = sys.stdout
    if hasattr(stdout, "reconfigure"):
        is_utf8 = (stdout.encoding or "").lower().replace("-", "") == "utf8"
        stdout.reconfigure(errors="surrogateescape" if is_utf8 else "backslashreplace")


def _show_warning(message: Any, *_: Any, **__: Any) -> None:
    """In one line. What a weight file cannot tell is said with the arguments that give it here."""
    text = message.for_shells if isinstance(message, AmbiguityWarning) else ""
    complain(f"warning: {' '.join((text or str(message)).split())}")
