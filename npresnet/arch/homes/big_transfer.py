"""Big Transfer (BiT) in the names of its authors' PyTorch code: root, body.blockI.unitJJ, head.gn, head.conv.

Translated to timm's names for the same networks. Filters are standardised with another eps, 1e-10.
"""

from __future__ import annotations

from npresnet.arch.homes.home import Home

UNITS = 40  # more than the 36 of BiT-M-R152's third block

BIG_TRANSFER = Home(
    marks=("body.block1.unit01.conv1.weight", "root.conv."),
    home="big_transfer",
    renamed=(
        (r"^root\.", "stem."),
        *((rf"^body\.block{i + 1}\.", f"stages.{i}.blocks.") for i in range(4)),
        *((rf"\.blocks\.unit{j + 1:02d}\.", f".blocks.{j}.") for j in range(UNITS)),
        (r"\.gn([0-9])\.", r".norm\1."),
        (r"\.downsample\.weight$", ".downsample.conv.weight"),
        (r"^head\.gn\.", "norm."),
        (r"^head\.conv\.", "head.fc."),
    ),
    implied={"weight_eps": 1e-10},
    where=r"^stem\.conv\.weight$",
    because="of the filters' standard deviation, as in its authors' code",
)
