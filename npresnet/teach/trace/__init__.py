"""`npresnet trace`: every step of a network for one image, with its feature maps, its cost and its memory.

maps      the feature map of every step as pictures
facts     what each step does, makes, takes and costs, found with a model and an image
here      facts -> HTML
"""

from __future__ import annotations

from npresnet.teach.pages import assemble
from npresnet.teach.trace.facts import Facts, gather

__all__ = ["Facts", "gather", "render"]


def render(facts: Facts) -> str:
    """The page, as one self-contained HTML document."""
    return assemble(
        f"{facts.image} through {facts.arch}",
        "trace.html",
        facts,
        styles=["page.css", "trace.css"],
        scripts=["page.js", "trace.js"],
    )
