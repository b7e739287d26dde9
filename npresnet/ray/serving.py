"""deployment: the HTTP server of `npresnet serve` as a Ray Serve application, in as many replicas as machines hold."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from npresnet.model.loading import load
from npresnet.ray.cluster import agreed, library
from npresnet.system.extras import needing


def deployment(
    model: str | os.PathLike[str] = "demo",
    *,
    num_replicas: int | str = 1,
    num_cpus: int = 1,
    num_gpus: float = 0,
    load_options: Mapping[str, Any] = MappingProxyType({}),
    **settings: Any,
) -> Any:
    """An application for `ray.serve.run`, or for the command `serve run module:name`: every route of `npresnet serve`.

    Parameters
    ----------
    model : path or str
        A file that each node has under this path, or a name; each replica maps it. Not the object store: what lies
        there goes with the process that put it, and a deployment outlives that.
    num_replicas : int or str
        Processes, or "auto".
    num_cpus : int
        Of each replica, also its threads.
    num_gpus : float
        Of each replica; it computes there.
    load_options : dict
        Those of `npresnet.load`.
    **settings
        Those of `npresnet.serve.app`: name, max_batch, batch_wait_ms, ...; limits are of each replica.

    Returns
    -------
    ray.serve.Application
        A file that cannot be loaded fails the deployment, which says why.

    Raises
    ------
    DeviceError
        If Ray Serve or the packages of `npresnet serve` are not installed.
    NpresnetError
        For settings that the server does not have.
    """
    serve, limits = _serve(settings)
    build = partial(_application, os.fspath(model), dict(load_options), settings)
    made = serve.deployment(serve.ingress(_as_function(build))())
    return made.options(
        name="npresnet",
        num_replicas=num_replicas,
        # Ray passes 5 on by default, and so no batch would have more; from max_queue on the replica itself says 503
        max_ongoing_requests=2 * limits.max_queue,
        ray_actor_options={"num_cpus": num_cpus, "num_gpus": num_gpus},
    ).bind()


def _serve(settings: dict[str, Any]) -> tuple[Any, Any]:
    """The module `ray.serve`, where everything is installed that replicas need; and the settings, which are sound."""
    library()
    with needing("a deployment", "npresnet[ray,serve]"):
        from ray import serve

        from npresnet.serve import Settings
    return serve, Settings.of(settings)


def _application(model: str, load_options: dict[str, Any], settings: dict[str, Any]) -> Any:
    """In a replica: the ASGI application of its own model."""
    from npresnet.serve import app
    from npresnet.serve.application import name_of

    opened = load(model, **agreed(load_options))
    return app(opened, **{"name": name_of(model), **settings})


def _as_function(build: Callable[[], Any]) -> Callable[[], Any]:
    """Ray Serve tells a builder from an application by its being a function."""

    def builder() -> Any:
        return build()

    return builder
