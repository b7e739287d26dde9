"""The parent's end of a worker's pipe: requests with a deadline, so that a dead or stuck process cannot block it."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import npresnet
from npresnet.bench.isa import environ as held_to
from npresnet.system.interpreter import interpreter

PACKAGE_PARENT = Path(npresnet.__file__).resolve().parent.parent
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "BLIS_NUM_THREADS")
_TUNING = tuple(
    "OPENBLAS_ GOTO_ OMP_ GOMP_ KMP_ MKL_ BLIS_ VECLIB_ DNNL_ ONEDNN_ TORCHINDUCTOR_ ATEN_CPU_ NPY_DISABLE_".split()
)
ENDING_S = 20.0  # a process that waits for a driver may outlive SIGKILL


class WorkerError(Exception):
    """A worker died, took too long, or answered with an error."""


class WorkerDiedError(WorkerError):
    """It ended by itself. how: "was killed by SIGSEGV"; last_words: of its stderr."""

    how = ""
    last_words = ""


class WorkerHungError(WorkerError):
    """It gave no answer in time. last_words: of its stderr."""

    last_words = ""


def worker_environ(threads: int, *, isa: str | None = None, coretype: str | None = None) -> dict[str, str]:
    """The environment of a worker: no external tuning variables, every OPENBLAS_* unset, equal threads.

    isa       the instruction set to which every library is held, see `npresnet.bench.isa`
    coretype  an OpenBLAS core type by name (OPENBLAS_CORETYPE), for npresnet alone
    """
    environ = {name: value for name, value in os.environ.items() if not name.upper().startswith(_TUNING)}
    environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    environ.update(held_to(isa))
    if coretype:
        environ["OPENBLAS_CORETYPE"] = coretype
    path = [str(PACKAGE_PARENT), *filter(None, [environ.get("PYTHONPATH")])]
    return {**environ, "PYTHONPATH": os.pathsep.join(path)}


class Process:
    """A worker process. Use as a context manager, or call close().

    module     what it runs: it reads requests and writes answers as `npresnet.bench.worker` does
    last_lines how many lines of its stderr are told when it dies
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        folder: Path | None = None,
        module: str = "npresnet.bench.worker",
        last_lines: int = 1,
    ):
        python = interpreter()
        self._last_lines = last_lines
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  closed with the process
        self._child = subprocess.Popen(
            [python, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=dict(environ),
            cwd=folder,
            text=True,
            encoding="utf-8",
            start_new_session=os.name == "posix",  # so that helpers which it starts can be ended with it
        )
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def ask(self, do: str, *, timeout_s: float, **fields: Any) -> dict[str, Any]:
        """Send a request and wait for its answer. Raises WorkerError, after which the worker has ended."""
        try:
            return self._ask(json.dumps({"do": do, **fields}), timeout_s)
        except WorkerError:
            self.close()
            raise

    def close(self) -> None:
        """End the worker and everything it started."""
        self._kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(ENDING_S)
        for stream in (self._child.stdin, self._log):
            if stream:
                with contextlib.suppress(OSError):
                    stream.close()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *problem: object) -> None:
        self.close()

    def _ask(self, line: str, timeout_s: float) -> dict[str, Any]:
        assert self._child.stdin is not None
        if self._child.stdin.closed:
            raise WorkerError("has been ended already")
        try:
            self._child.stdin.write(line + "\n")
            self._child.stdin.flush()
            answer = self._next_line(time.monotonic() + timeout_s)
        except queue.Empty:
            hung = WorkerHungError(f"gave no answer within {timeout_s:g} s")
            hung.last_words = self.last_words()
            raise hung from None
        except OSError:
            answer = None
        if answer is None:
            raise self._obituary()
        found: dict[str, Any] = json.loads(answer)
        if "error" in found:
            raise WorkerError(without_paths(found["error"]))
        return found

    def _next_line(self, deadline: float) -> str | None:
        """The next answer, None once the worker has ended: what it started may keep its end of the pipe open."""
        while True:
            try:
                return self._lines.get(timeout=max(0.0, min(1.0, deadline - time.monotonic())))
            except queue.Empty:
                if self._child.poll() is not None and self._lines.empty():
                    return None
                if time.monotonic() >= deadline:
                    raise

    def _read(self) -> None:
        assert self._child.stdout is not None
        with self._child.stdout as lines:
            for line in lines:
                self._lines.put(line)
        self._lines.put(None)

    def _obituary(self) -> WorkerDiedError:
        """How the worker ended, and its last words on stderr."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(ENDING_S)
        code, last = self._child.returncode, self.last_words()
        if code is None:
            how = "closed its pipe"
        else:
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        died = WorkerDiedError(f"{how}: {last}" if last else how)
        died.how, died.last_words = how, last
        return died

    def last_words(self) -> str:
        """The last lines of its stderr that are not empty, with "; " between and without paths."""
        self._log.seek(0)
        lines = [line.strip() for line in self._log.read().decode(errors="replace").split("\n") if line.strip()]
        return without_paths("; ".join(lines[-self._last_lines :]), 300 * self._last_lines)

    def _kill(self) -> None:
        with contextlib.suppress(OSError):
            if os.name == "posix":
                os.killpg(self._child.pid, signal.SIGKILL)
            else:
                self._child.kill()


def without_paths(text: str, limit: int = 300) -> str:
    """The text without the folders of file names (results are published), truncated to `limit`."""
    text = re.sub(r"(?<![\w./\\])(?:[A-Za-z]:)?(?:[/\\][\w.+~@-]+)*[/\\](?=[\w.+~@-])", "", text)
    return text if len(text) <= limit else text[: limit - 1] + "…"
