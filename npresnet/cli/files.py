"""`npresnet convert`, `inspect` and `summary`: commands for weight files and architectures."""

from __future__ import annotations

import os
from argparse import Namespace

from npresnet.cli.shared import FINE, complain, decisions_of, options_of, say
from npresnet.errors import ArchitectureError, CheckpointError
from npresnet.system.text import visible


def convert(args: Namespace) -> int:
    """Write a weight file as .npz."""
    import npresnet
    from npresnet import weights

    target = npresnet.convert(args.source, args.destination, **decisions_of(args))
    for note in weights.inspect(target).notes:
        complain(note)
    name = visible(str(target))
    complain(f"wrote {name}, {os.path.getsize(target):,} bytes; npresnet inspect {name} shows all settings")
    return FINE


def inspect(args: Namespace) -> int:
    """Print container, wrapping and tensors of a file, and all decisions if it holds a supported network.

    With --verify the whole file is read first, and what is damaged is an error.
    """
    from npresnet import weights
    from npresnet.model.ambiguity import as_argument
    from npresnet.model.finding import find_file
    from npresnet.model.interpreting import interpret

    path = find_file(args.file)
    decided = decisions_of(args)
    known = {name: decided.pop(name) for name in ("arch", "labels", "preprocess", "key")}
    say(weights.inspect(path, known["key"]))
    if args.verify:
        say(weights.verify(path))
    say("")
    try:
        found = interpret(path, options=decided, **known)
    except (CheckpointError, ArchitectureError) as error:
        say(f"network    none that is supported: {error}")
        return FINE
    say("network    each decision, its origin, and whether it is told, custom or ambiguous")
    say("\n".join(f"  {line}" for line in str(found.config).splitlines()))
    for name, decision in found.config.ambiguous().items():
        say(f"ambiguous  {name}: settle with {' or '.join(map(as_argument, decision.alternatives))}")
    return FINE


def summary(args: Namespace) -> int:
    """Print torchsummary's table for an architecture or a weight file."""
    from npresnet.model.ambiguity import warn_of_ambiguity
    from npresnet.model.interpreting import describe
    from npresnet.views.summary import summary as table

    found = describe(args.network, key=args.key, **options_of(args))
    if os.path.lexists(args.network):  # a file, whose sizes may depend on what it cannot tell
        warn_of_ambiguity(found.config, found.source.name)
    say(table(found.network, args.input_size or found.input_size, args.batch_size))
    return FINE
