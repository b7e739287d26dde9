"""The smoke check on every Python of this machine: `python -m tests.smoke dist/npresnet-*.whl`

Exit code 1 if one failed. Without a wheel it builds one. Packages come from the index that pip uses.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.smoke import matrix
from tests.smoke.environments import Environments, InstallError, floors
from tests.smoke.interpreters import Interpreter, absent, declared, find
from tests.smoke.matrix import Cell, Result

OLDEST_NUMPY_RUNS_ON = ((3, 10), (3, 12))  # the Pythons that NumPy 1.26 was published for


class Session:
    """What was run and found; `tell` prints a line at once."""

    def __init__(self, folder: Path, environments: Environments):
        self.folder = folder
        self.environments = environments
        self.results: list[Result] = []
        self.problems: list[str] = []
        self.not_run: list[str] = []
        self._lock = threading.Lock()

    def run(self, *cells: Cell) -> None:
        for cell in cells:
            result = matrix.run(cell, self.folder)
            with self._lock:
                self.results.append(result)
                print(f"{'ok' if result.passed else 'FAILED':<7} {result.seconds:4.0f} s  {cell.name}{_seen(result)}")
                if not result.passed:
                    self.problems.append(cell.name)
                    print(result.output)
                sys.stdout.flush()

    def newest(self, interpreter: Interpreter, *, is_main: bool) -> None:
        """The newest dependencies; on one interpreter everything that can be varied beside versions."""
        try:
            python = self.environments.make(interpreter.minor, interpreter)
        except InstallError as error:
            if interpreter.minor in declared():
                raise
            self.not_run.append(f"{interpreter}: {error}")
            return
        self.run(matrix.plain(f"{interpreter}, newest dependencies", python, interpreter))
        if is_main:
            self.run(*matrix.axes(python, interpreter))

    def oldest(self, interpreter: Interpreter) -> None:
        oldest = floors(self.environments.wheel)
        python = self.environments.make("oldest", interpreter, oldest)
        self.run(matrix.plain(f"{interpreter}, oldest dependencies", python, interpreter, numpy="1.26.0"))

    def read_only(self, interpreter: Interpreter) -> None:
        python = self.environments.make("read-only", interpreter)
        cell = matrix.read_only(python, interpreter, self.folder)
        if cell:
            self.run(cell)
        else:
            self.not_run.append("read-only: root may write everywhere, and there is no setpriv")
        matrix.set_writable(python.parents[1], True)  # to be deleted

    def frozen(self, interpreter: Interpreter) -> None:
        python = self.environments.make("frozen", interpreter, ["pyinstaller"], extra="serve")
        folder = self.folder / "freezing"
        folder.mkdir()
        self.run(matrix.frozen(python, interpreter, folder))


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    began = time.monotonic()
    found = find(options.python)
    print("found: " + ", ".join(f"{one} ({one.path})" for one in found))
    print("not found: " + (", ".join(absent(found)) or "none of those that npresnet names"), flush=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        try:
            session = Session(folder, Environments(folder, options.wheel or _build(folder)))
        except (InstallError, OSError, subprocess.SubprocessError) as error:
            print(f"FAILED: no wheel, or no pip to install it with: {error}")
            return 1
        with ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(_guarded, session, task, what) for what, task in _tasks(session, found)]:
                done.result()
    problems = session.problems + matrix.different_bits(session.results)
    for line in session.not_run:
        print(f"not run: {line}")
    for line in problems:
        print(f"FAILED: {line}")
    print(f"smoke: {len(session.results)} environments, {len(problems)} problems, {time.monotonic() - began:.0f} s")
    return int(bool(problems) or not session.results)


def _tasks(session: Session, found: Sequence[Interpreter]) -> list[tuple[str, Callable[[], None]]]:
    """The longest first."""
    ordinary = [one for one in found if one.has_gil and one.minor in declared()]
    main = (ordinary or list(found))[-1]
    first, last = OLDEST_NUMPY_RUNS_ON
    tasks: list[tuple[str, Callable[[], None]]] = []
    with_library = [one for one in ordinary if one.has_library]
    if with_library:
        tasks.append(("frozen", lambda: session.frozen(with_library[-1])))
    else:
        session.not_run.append("frozen: PyInstaller needs a Python with a shared library, libpython")
    for one in reversed(found):
        tasks.append((str(one), lambda one=one: session.newest(one, is_main=one is main)))  # type: ignore[misc]
    tasks.append(("read-only", lambda: session.read_only(main)))
    old = [one for one in ordinary if first <= one.version[:2] <= last]
    if old:
        tasks.append(("oldest", lambda: session.oldest(old[0])))
    else:
        session.not_run.append("oldest dependencies: NumPy 1.26 was published for Python 3.10 to 3.12")
    return tasks


def _guarded(session: Session, task: Callable[[], None], what: str) -> None:
    try:
        task()
    except (InstallError, OSError) as error:
        session.problems.append(f"{what}: {error}")
    except subprocess.SubprocessError as error:
        said = [text for text in (getattr(error, "stdout", ""), getattr(error, "stderr", "")) if text]
        session.problems.append("\n".join([f"{what}: {error}", *map(str, said)]))


def _seen(result: Result) -> str:
    facts = result.facts
    return f": NumPy {facts['numpy']}, Pillow {facts['pillow']}, {facts['core']}" if "numpy" in facts else ""


def _build(folder: Path) -> Path:
    repository = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder), str(repository)]
    subprocess.run(command, check=True)
    return next(folder.glob("npresnet-*.whl"))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.smoke", description=__doc__)
    parser.add_argument("wheel", type=Path, nargs="?", help="npresnet's wheel (default: build it)")
    parser.add_argument("--python", action="append", default=[], help="one more; may be given several times")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
