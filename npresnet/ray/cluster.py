"""Ray itself: the library, the connection to a cluster, and how many workers fit into it."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from npresnet.errors import DeviceError, NpresnetError
from npresnet.system.extras import needing

ANSWER_S = 5.0  # for an address to answer: Ray itself would try for minutes, then end the process; some ports for ever
HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"  # how HTTP/2 begins, on which Ray's gRPC is built
OTHER = "something else than Ray listens there, or a Ray that encrypts, which needs RAY_USE_TLS=1"
MOST_CPUS = 4  # of a worker that nobody gave a number: more workers of few threads scale better than the reverse
EXTRA = "npresnet[ray]"


def library() -> Any:
    """The module `ray`. Raises DeviceError where it is not installed."""
    with needing("npresnet.ray", EXTRA):
        import ray

        if not hasattr(ray, "init"):  # a folder called ray would be imported as a package without contents
            raise ModuleNotFoundError(name="ray")
    return ray


def arrow() -> Any:
    """The module `pyarrow`, with its file systems. Raises DeviceError where it is not installed."""
    with needing("npresnet.ray", EXTRA):
        import pyarrow
        import pyarrow.fs
    return pyarrow


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """Ray, connected for the block; a connection that exists already is used, and kept.

    address  "host:port", "ray://host:port", "auto" or "local" (a cluster of this machine's own, which ends with the
             block); None: that of RAY_ADDRESS, else a cluster that runs on this machine, else "local"

    Raises DeviceError if nothing answers there, and for what Ray itself raises in the block: its store is full, its
    head is gone.
    """
    ray = library()
    if ray.is_initialized():
        with _ray_errors(ray):
            yield ray
        return
    address = address or os.environ.get("RAY_ADDRESS") or ("local" if _is_gone(_noted()) else None)
    _require_answer(address or "")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # of a cluster that starts here; npresnet reports to nobody
    try:
        ray.init(
            address=address,
            include_dashboard=False if address in (None, "local") else None,
            log_to_driver=False,  # what workers print; their errors come back as results
            logging_level="ERROR",
        )
    except (ConnectionError, ValueError, RuntimeError, OSError, SystemExit) as error:
        raise DeviceError(_unreachable(address or "local", _reason(error))) from error
    try:
        with _ray_errors(ray):
            yield ray
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _ray_errors(ray: Any) -> Iterator[None]:
    """Ray's own errors as DeviceError; what a worker's code raised stays."""
    try:
        yield
    except ray.exceptions.RayTaskError:
        raise
    except ray.exceptions.RayError as error:
        told = " ".join(str(error).split())[:300] or type(error).__name__
        raise DeviceError(
            f"Ray failed ({type(error).__name__}): {told}. Rows that are written stay; --resume (resume=True) goes on"
        ) from error


def _require_answer(address: str) -> None:
    """Raise DeviceError where "host:port" does not answer."""
    reason = _is_gone(address)
    if reason:
        raise DeviceError(_unreachable(address, reason))


def _is_gone(address: str) -> str:
    """Why "host:port" is no Ray cluster's; "" where it may be, and for other words."""
    found = re.fullmatch(r"(?:ray://)?(.+):(\d+)/?", address)
    if found is None:
        return ""
    try:
        with socket.create_connection((found[1].strip("[]"), int(found[2])), timeout=ANSWER_S) as connection:
            return "" if _speaks_grpc(connection) else OTHER
    except (OSError, OverflowError) as error:
        return str(error)


def _speaks_grpc(connection: socket.socket) -> bool:
    """Does the other side begin with a frame of settings, of type 4? A web server or Redis says something else."""
    if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
        return True  # encrypted: Ray itself has the certificates
    connection.sendall(HELLO)
    answer = b""
    while len(answer) < 4:
        more = connection.recv(4 - len(answer))
        if not more:
            return False
        answer += more
    return answer[3] == HELLO[-6]


def _noted() -> str:
    """The address of this machine's cluster in Ray's own note, which a cluster that was killed leaves behind."""
    folder = os.environ.get("RAY_TMPDIR") or ("/tmp" if os.name == "posix" else tempfile.gettempdir())
    try:
        return (Path(folder) / "ray" / "ray_current_cluster").read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""


def _reason(error: BaseException) -> str:
    """The error, and the last line of the one behind it, which alone may say that a token is missing."""
    behind = str(error.__cause__ or "").strip().splitlines()
    return ": ".join([str(error), *behind[-1:]])


def _unreachable(address: str, reason: str) -> str:
    told = " ".join(reason.split())[:500].rstrip(".")
    if "auth" in told.lower() and "token" in told.lower():
        way = (
            "RAY_AUTH_MODE=token in the environment sends the token of ~/.ray/auth_token, which Ray sends unasked only "
            "to a cluster of this machine, --ray (address=None) without an address"
        )
    else:
        way = (
            "`ray status` on the head node shows the address; without one, --ray (address=None) uses a cluster of this "
            "machine or starts one"
        )
    return f"no Ray cluster answers at {address}: {told}. {way}"


def default_cpus(nodes: list[dict[str, Any]]) -> int:
    """CPUs of a worker: what the smallest node has, at most MOST_CPUS."""
    cpus = [int(_of(node, "CPU")) for node in nodes if _of(node, "CPU") >= 1]
    return min([MOST_CPUS, *cpus])


def places(nodes: list[dict[str, Any]], num_cpus: float, num_gpus: float) -> int:
    """How many workers of these needs the nodes hold at once. Raises DeviceError if it is none."""
    needs = {name: need for name, need in (("CPU", num_cpus), ("GPU", num_gpus)) if need > 0}
    count = sum(min((int(_of(node, name) // need) for name, need in needs.items()), default=1) for node in nodes)
    if count:
        return count
    has = "; ".join(f"{_of(node, 'CPU'):g} CPUs, {_of(node, 'GPU'):g} GPUs" for node in nodes[:8])
    raise DeviceError(
        f"no node of the cluster holds a worker with {num_cpus:g} CPUs and {num_gpus:g} GPUs; they have {has}. Ask for "
        "less (--threads, num_cpus, num_gpus), or say --workers N where nodes are started on demand"
    )


def _of(node: dict[str, Any], name: str) -> float:
    return float(node.get("Resources", {}).get(name, 0))


def granted() -> dict[str, float] | None:
    """What Ray granted this process, {"CPU": 2.0, "GPU": 1.0}; None outside a worker."""
    if "ray" not in sys.modules:
        return None
    ray = library()
    if not ray.is_initialized() or ray.get_runtime_context().worker.mode != ray.WORKER_MODE:
        return None
    found: dict[str, float] = ray.get_runtime_context().get_assigned_resources()
    return found


def agreed(options: dict[str, Any]) -> dict[str, Any]:
    """Options of `load` with threads and device as Ray has granted them, where the caller did not say.

    A worker with num_cpus=2 computes with two threads, one with less than 2 with one; one that has a GPU uses it.
    """
    given = {name: value for name, value in options.items() if value is not None}
    found = granted()
    if found is None:
        return given
    device = {"device": "cuda"} if found.get("GPU", 0) > 0 else {}
    return {"threads": max(1, int(found.get("CPU", 1))), **device, **given}


def cause(error: Any) -> BaseException:
    """What was raised in the worker."""
    raised = getattr(error, "cause", None)
    if isinstance(raised, (NpresnetError, MemoryError)):
        return raised
    return error if isinstance(error, BaseException) else RuntimeError(str(error))


def last_line(error: BaseException) -> str:
    """Where Ray's messages say the reason, after the traceback."""
    return next(reversed(str(error).strip().splitlines()), type(error).__name__).strip()[:300].rstrip(".")
