"""`predict`: who does what, and what happens if one dies.

The process that was asked hands out chunks of paths, one to a worker at a time, and alone writes rows. A chunk whose
worker dies (its process is killed, its node is lost, memory runs out) goes to another worker, in halves if two have
died with it; a single picture that has ended DEATHS processes becomes a row with an error, which a resumed run tries
again. A new worker takes the place of a dead one.
"""

from __future__ import annotations

import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import closing
from typing import Any, NamedTuple

from npresnet.errors import DeviceError, ImageError, NpresnetError
from npresnet.model.inputs import as_count
from npresnet.model.records import record
from npresnet.ray.chunks import Chunk, chunk_size, chunks
from npresnet.ray.cluster import cause, connected, default_cpus, last_line, places
from npresnet.ray.output import Output
from npresnet.ray.sources import resolve
from npresnet.ray.table import table, unread_in
from npresnet.ray.weights import ModelLike, Weights, fingerprint, read
from npresnet.ray.worker import Worker
from npresnet.system.text import visible

DEATHS = 3  # of workers with one chunk, and of workers in a row that did not even open the model

SAME_VERSION = "Every node needs npresnet, in the version of this one: python -m pip install 'npresnet[ray]'"
PLACED_S = 60.0  # for the first worker to start
NOT_PLACED = (
    f"after {PLACED_S:.0f} s no worker has started: others may use the cluster, or a node be about to start. Still "
    "waiting; `ray status` shows what is asked for"
)

Source = str | os.PathLike[str]


class Summary(NamedTuple):
    """What `predict` did.

    Attributes
    ----------
    output : str
        Where the rows are.
    images : int
        Rows of this run.
    errors : int
        Those of them that have an error.
    skipped : int
        Pictures that had a row before.
    deaths : int
        Workers that died.
    unread : int
        Those of the errors whose picture could not be fetched or ended processes: a run with resume=True tries them
        again.
    """

    output: str
    images: int = 0
    errors: int = 0
    skipped: int = 0
    deaths: int = 0
    unread: int = 0


def predict(
    source: Source | Iterable[Source],
    output: Source,
    *,
    model: ModelLike = "demo",
    address: str | None = None,
    resume: bool = False,
    workers: int | None = None,
    num_cpus: int | None = None,
    num_gpus: float | None = None,
    top: int = 5,
    batch_size: int = 32,
    filesystem: Any = None,
    recursive: bool = False,
    advance: Callable[[int, int], None] | None = None,
    **options: Any,
) -> Summary:
    """Classify the pictures of folders, patterns or buckets on a Ray cluster, and write a row for each to Parquet.

    Parameters
    ----------
    source : path, str or iterable
        Files, folders, patterns such as `photos/**/*.jpg`, or addresses of pyarrow's file systems: `s3://bucket/photos`.
    output : path or str
        A name that ends in .parquet is one file, any other a folder of parts; local or of any pyarrow file system.
        Columns: path, index, label, score, top, error.
    model : path, str or Model
        A file, a name or a Model; the file need not exist on other machines.
    address : str, optional
        Of the cluster, "host:port"; by default RAY_ADDRESS, a cluster of this machine, else one that starts now.
    resume : bool
        Go on with an output that exists: pictures that have a row in it are skipped, also one that is no picture; those
        that could not be fetched or ended processes are tried again.
    workers : int, optional
        By default as many as the cluster holds, or as there is work for.
    num_cpus : int, optional
        Of each worker, also its threads; by default those of the smallest node, at most 4.
    num_gpus : float, optional
        Of each worker; by default 1 with device="cuda", else 0.
    top : int
        Number of candidates in the column `top`.
    batch_size : int
        Images computed at once; it does not affect the results.
    filesystem : FileSystem, optional
        pyarrow's, of the sources, where their addresses do not tell it, or it needs credentials.
    recursive : bool
        Folders with those inside them.
    advance : callable, optional
        Called with (pictures done, pictures in all) after each chunk.
    **options
        Those of `npresnet.load`, without threads.

    Returns
    -------
    Summary
        How many rows, errors, skipped pictures and lost workers there were. A picture that cannot be read is a row with
        an error.

    Raises
    ------
    ImageError
        If there are no pictures.
    NpresnetError
        If the output exists; and the errors of `load`.
    DeviceError
        If Ray is not installed or its cluster does not answer.
    """
    top, batch_size = as_count(top, "top"), as_count(batch_size, "batch_size")
    for number, name in ((workers, "workers"), (num_cpus, "num_cpus")):
        if number is not None:
            as_count(number, name)
    if options.pop("threads", None) is not None:
        raise NpresnetError("threads: a worker has as many as Ray grants it CPUs; pass num_cpus")
    groups = [resolve(one, filesystem=filesystem, recursive=recursive) for one in _several(source)]
    placed = {name: options.pop(name, None) for name in ("device", "dtype", "fast", "winograd", "max_pixels")}
    loaded = read(model, **options)
    identity = fingerprint(loaded)
    run = {
        "model": identity,
        "top": top,
        "dtype": str(placed["dtype"] or "float32"),
        "fast": bool(placed["fast"]),
        "winograd": placed["winograd"] is not False,
    }
    with closing(Output(output, run, resume=resume)) as written:
        known = written.known()
        found = known.new(groups)
        written.replace(known.replaced)
        if not any(found):
            written.complete()
            return Summary(written.name, skipped=known.skipped)
        with connected(address) as ray:
            cpus = num_cpus or default_cpus(ray.nodes())
            gpus = (1 if str(placed["device"]).startswith("cuda") else 0) if num_gpus is None else num_gpus
            count = workers or places(ray.nodes(), cpus, gpus)
            size = chunk_size(sum(map(len, found)), count, batch_size)
            todo = deque(Chunk(which, part) for which, files in enumerate(found) for part in chunks(files, size))
            weights = Weights(ray.put(loaded), loaded.source.name, identity)
            arguments = (weights, [group.filesystem for group in groups], top, batch_size, placed)
            actor = ray.remote(Worker).options(num_cpus=cpus, num_gpus=gpus, max_restarts=0)
            job = _Job(ray, lambda: actor.remote(*arguments), written, todo, advance)
            return job.run(min(count, len(todo)))._replace(skipped=known.skipped)


class _Job:
    """The chunks that are to be done, the workers, and who has which."""

    def __init__(
        self, ray: Any, hire: Callable[[], Any], output: Output, todo: deque[Chunk], advance: Any = None
    ) -> None:
        self._ray, self._hire, self._output, self._todo, self._advance = ray, hire, output, todo, advance
        self._total = sum(len(chunk.pictures) for chunk in todo)
        self._summary = Summary(output.name)
        self._opening: dict[Any, Any] = {}  # future -> worker that loads the model
        self._running: dict[Any, tuple[Any, Chunk]] = {}  # future -> worker, and what it does
        self._lost_opening = 0
        self._is_placed = False

    def run(self, workers: int) -> Summary:
        """Do everything; whatever ends this early, rows that are done are in parts."""
        try:
            for _ in range(workers):
                self._open_one()
            while self._todo or self._running:
                waiting = [*self._opening, *self._running]
                ready, _ = self._ray.wait(waiting, num_returns=1, timeout=None if self._is_placed else PLACED_S)
                if not ready and not self._is_placed:
                    warnings.warn(NOT_PLACED, stacklevel=2)
                self._is_placed = True  # or said not to be
                for future in ready:
                    step = self._opened if future in self._opening else self._done
                    step(future)
        except BaseException:
            self._output.flush()
            raise
        finally:
            for worker in (*self._opening.values(), *(worker for worker, _ in self._running.values())):
                self._ray.kill(worker)
        self._output.complete()
        return self._summary

    def _open_one(self) -> None:
        worker = self._hire()
        self._opening[worker.open.remote()] = worker

    def _opened(self, future: Any) -> None:
        worker = self._opening.pop(future)
        try:
            self._ray.get(future)
        except self._ray.exceptions.RayTaskError as error:
            raise cause(error) from error
        except self._ray.exceptions.RayError as error:
            if "creation task" in str(error):  # nothing of ours has run: the node cannot import it
                raise DeviceError(f"a worker cannot start: {last_line(error)}. {SAME_VERSION}") from error
            self._lost_opening += 1
            self._summary = self._summary._replace(deaths=self._summary.deaths + 1)
            if self._lost_opening >= DEATHS:
                raise DeviceError(
                    f"{DEATHS} workers in a row ended while they loaded the model, perhaps for lack of memory: "
                    f"{last_line(error)}. Fewer workers, each with more CPUs (--workers, --threads), need less"
                ) from error
            self._open_one()
            return
        self._lost_opening = 0
        self._give(worker)

    def _give(self, worker: Any) -> None:
        """The next chunk for a worker; if there is none, it ends."""
        if self._todo:
            chunk = self._todo.popleft()
            self._running[worker.run.remote(chunk.which, chunk.pictures)] = worker, chunk
        else:
            self._ray.kill(worker)

    def _done(self, future: Any) -> None:
        worker, chunk = self._running.pop(future)
        try:
            rows = self._ray.get(future)
        except self._ray.exceptions.RayTaskError as error:
            if not isinstance(cause(error), MemoryError):
                raise cause(error) from error
            self._again(worker, chunk)
        except self._ray.exceptions.RayError:
            self._again(worker, chunk)
        else:
            self._take(rows)
            self._give(worker)

    def _again(self, worker: Any, chunk: Chunk) -> None:
        """What a worker that died was doing goes to others."""
        self._ray.kill(worker)
        self._summary = self._summary._replace(deaths=self._summary.deaths + 1)
        deaths, half = chunk.deaths + 1, len(chunk.pictures) // 2
        if half and chunk.deaths:
            parts = (chunk.pictures[:half], chunk.pictures[half:])
            self._todo.extend(Chunk(chunk.which, part, 1) for part in parts)
        elif deaths < DEATHS or half:
            self._todo.append(chunk._replace(deaths=deaths))
        else:
            (picture,) = chunk.pictures
            told = (
                f"{visible(picture.shown)} ended {DEATHS} processes that read it: killed, crashed or out of memory. "
                "--resume (resume=True) tries it again"
            )
            self._take(table([{**record(picture.shown, ImageError(told)), "unread": True}]))
        if self._todo:
            self._open_one()

    def _take(self, rows: Any) -> None:
        self._output.add(rows)
        failed = rows.num_rows - rows["error"].null_count
        done, errors = self._summary.images + rows.num_rows, self._summary.errors + failed
        unread = self._summary.unread + len(unread_in(rows))
        self._summary = self._summary._replace(images=done, errors=errors, unread=unread)
        if self._advance is not None:
            self._advance(done, self._total)


def _several(source: Source | Iterable[Source]) -> list[Source]:
    return [source] if isinstance(source, (str, os.PathLike)) else list(source)
