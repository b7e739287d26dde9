"""`npresnet ladder`: one real layer climbs every rung, each proved equal first, then timed on this machine.

layer    a layer of a model with the numbers that a photo brings to it
rungs    the ways to compute it
showing  their code, and why one may gain nothing on a layer
climb    prove, time, compare with what the machine can do
text     the result as a table and as a page
"""

from __future__ import annotations

from npresnet.teach.ladder.climb import Ladder, climb
from npresnet.teach.ladder.layer import RealLayer, find_layer

__all__ = ["Ladder", "RealLayer", "climb", "find_layer"]
