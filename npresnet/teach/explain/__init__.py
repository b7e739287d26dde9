"""`npresnet explain`: one number of one feature map, from the photo to the fused step, on a page of its own.

chain             the convolution, and what the passes put into the same step
pixel             the number itself: patch, filter, sums, BatchNorm, and four more ways to compute it
receptive_field   what it sees of the photo
matrix            the im2col matrix around it
facts             all of that, found with a model and an image
here              facts -> HTML
"""

from __future__ import annotations

from npresnet.teach.explain.facts import Facts, gather
from npresnet.teach.pages import assemble

__all__ = ["Facts", "gather", "render"]


def render(facts: Facts) -> str:
    """The page, as one self-contained HTML document."""
    return assemble(
        f"One number of {facts.layer}, explained",
        "explain.html",
        facts,
        styles=["page.css", "explain.css"],
        scripts=[
            "page.js",
            "explain.js",
            "explain_sum.js",
            "explain_matrix.js",
            "explain_product.js",
            "explain_what_if.js",
        ],
    )
