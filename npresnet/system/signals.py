"""Exceptions that a program's own signal handlers raise: time limits, requests to stop. They are no damage of a file.

A handler may run between any two instructions and raise anything, such as a TimeoutError (an OSError, too). Code that
turns exceptions into those of a damaged file, or tries again, lets these pass.
"""

from __future__ import annotations

from types import FrameType, TracebackType

_ALONE = BaseException()


def raise_signals(error: BaseException, before: BaseException | None = _ALONE) -> None:
    """Raise the exception of a signal handler that `error` is, or hides as its cause or context; else return.

    before  the exception that was being handled when the work began; it and those that it hides do not count. By
            default only `error` itself counts, for what it hides may be of before
    """
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and found is not before and id(found) not in seen:
        if _is_from_handler(found.__traceback__):
            raise found
        if before is _ALONE:
            return
        seen.add(id(found))
        found = found.__cause__ or found.__context__


def _is_from_handler(trace: TracebackType | None) -> bool:
    """Whether a frame was called with the frame above it, as handlers are: handler(number, interrupted frame)."""
    while trace is not None and trace.tb_next is not None:
        if _is_handler(trace.tb_next.tb_frame, trace.tb_frame):
            return True
        trace = trace.tb_next
    return False


def _is_handler(frame: FrameType, interrupted: FrameType) -> bool:
    given = frame.f_locals.values()
    return any(value is interrupted or (type(value) is tuple and _holds(value, interrupted)) for value in given)


def _holds(arguments: tuple[object, ...], interrupted: FrameType) -> bool:
    """Of a handler that takes *arguments."""
    return len(arguments) == 2 and arguments[1] is interrupted
