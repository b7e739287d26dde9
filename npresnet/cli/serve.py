"""`npresnet serve`: a model behind HTTP, see `npresnet.serve`."""

from __future__ import annotations

from argparse import Namespace

from npresnet.cli.shared import FAILED, FINE, complain, model_of
from npresnet.errors import NpresnetError

SETTINGS = ("max_batch", "batch_wait_ms", "max_body_mb", "max_images", "max_queue", "body_timeout_s")


def serve(args: Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C. The port is taken first, so that one in use is known before a model is loaded."""
    try:
        from npresnet.serve.application import name_of
        from npresnet.serve.run import bind, run
        from npresnet.serve.settings import Settings
    except ImportError as error:
        package = (error.name or "npresnet").partition(".")[0]
        if package == "npresnet":
            raise
        raise NpresnetError(
            f"serve needs the package {package}, which is not installed: pip install 'npresnet[serve]'"
        ) from None
    settings = {name: getattr(args, name) for name in SETTINGS}
    settings["name"] = args.name or name_of("demo" if args.model is None else args.model)
    Settings.of(settings)
    with bind(args.host, args.port) as bound, model_of(args) as model:
        limits = {"drain_s": args.drain_s, "max_connections": args.max_connections}
        return FINE if run(model, bound, say=complain, **limits, **settings) else FAILED
