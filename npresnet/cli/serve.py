"""`npresnet serve`: a model behind HTTP, see `npresnet.serve`."""

from __future__ import annotations

from argparse import Namespace

from npresnet.cli.shared import FAILED, FINE, complain, model_of
from npresnet.system.extras import needing

SETTINGS = ("max_batch", "batch_wait_ms", "max_body_mb", "max_images", "max_queue", "body_timeout_s")


def serve(args: Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C. The port is taken first, so that one in use is known before a model is loaded."""
    with needing("serve", "npresnet[serve]"):
        from npresnet.serve.application import name_of
        from npresnet.serve.run import bind, run
        from npresnet.serve.settings import Settings
    settings = {name: getattr(args, name) for name in SETTINGS}
    settings["name"] = args.name or name_of("demo" if args.model is None else args.model)
    Settings.of(settings)
    with bind(args.host, args.port) as bound, model_of(args) as model:
        limits = {"drain_s": args.drain_s, "max_connections": args.max_connections}
        return FINE if run(model, bound, say=complain, **limits, **settings) else FAILED
