"""Wide ResNets as lists of parameters: Zagoruyko's functional code, which names convolutions without `.weight`.

conv0, groupI.blockJ.{bn0, conv0, bn1, conv1, convdim}, bn, fc. The networks are those of `block1.layer.0`.
"""

from __future__ import annotations

from npresnet.arch.homes.home import Home

_BLOCK = r"^group{0}\.block([0-9]+)\."

ZAGORUYKO = Home(
    marks=("group0.block0.conv0", "conv0"),
    home="wide-residual-networks",
    renamed=(
        *((_BLOCK.format(i), rf"block{i + 1}.layer.\1.") for i in range(4)),
        (r"\.bn1\.", ".bn2."),
        (r"\.bn0\.", ".bn1."),
        (r"^bn\.", "bn1."),
        (r"\.convdim$", ".convShortcut.weight"),
        (r"\.conv1$", ".conv2.weight"),
        (r"\.conv0$", ".conv1.weight"),
        (r"^conv0$", "conv1.weight"),
    ),
)
