"""`npresnet explain` and `npresnet trace`: pages that show what happens inside, for one image."""

from __future__ import annotations

import sys
from argparse import Namespace

from npresnet.cli.paths import one_image
from npresnet.cli.shared import FINE, STDOUT, check_outputs, complain, model_of
from npresnet.system.files import replacing
from npresnet.system.text import visible


def explain(args: Namespace) -> int:
    """Follow one output of one convolution from the photo to the fused step, on a page of its own."""
    from npresnet.teach import explain

    check_outputs(args, [args.image], args.output)
    with model_of(args) as model:
        facts = explain.gather(model, one_image(args.image), args.layer, args.at, args.channel)
    _write(args.output, explain.render(facts))
    place = f"channel {facts.channel}, row {facts.row}, column {facts.col}"
    complain(f"{_told(args.output)}: {facts.layer}, {place} is {facts.step_output:.6g}; open it in a browser")
    return FINE


def trace(args: Namespace) -> int:
    """Show every step of the network with its feature map, its cost and its memory, on a page of its own."""
    from npresnet.teach import trace

    check_outputs(args, [args.image], args.output)
    with model_of(args) as model:
        facts = trace.gather(model, one_image(args.image))
    _write(args.output, trace.render(facts))
    counts = f"{facts.nodes_before} nodes in {len(facts.steps)} steps"
    complain(f"{_told(args.output)}: {counts}, {facts.total_ms:.1f} ms {facts.device.timed}; open it in a browser")
    return FINE


def _told(path: str) -> str:
    return "wrote the page" if path == STDOUT else f"wrote {visible(path)}"


def _write(path: str, page: str) -> None:
    if path == STDOUT:
        sys.stdout.buffer.write(page.encode("utf-8"))
        return
    with replacing(path) as file:
        file.write(page.encode("utf-8"))
