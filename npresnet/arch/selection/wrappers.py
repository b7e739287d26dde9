"""Modules that wrap others without computing anything, anywhere in a name: compiled, sharded, checkpointed ones.

`model.layer1 = torch.compile(model.layer1)` saves layer1._orig_mod.0.conv1.weight. A wrapper of the whole network is
taken off with the prefix.
"""

from __future__ import annotations

import re

from npresnet.arch.tensors import Tensors

WRAPPER = re.compile(r"(?<=\.)(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module|_forward_module|_module)\.")
WHOLE = re.compile(r"^(_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")  # of parts that stand at the top


def without_wrappers(tensors: Tensors) -> Tensors:
    """The tensors with their wrapped modules' own names."""
    if not any("._" in name or name.startswith("_") for name in tensors):
        return tensors
    return tensors.renamed(lambda name: WRAPPER.sub("", WHOLE.sub("", name)))
