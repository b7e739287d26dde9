"""Where the device code lies: `kernels/` holds *.cu and *.cuh files and no Python, so it is found as a folder."""

from __future__ import annotations

from pathlib import Path

from npresnet.errors import DeviceError

PACKAGE = Path(__file__).resolve().parent.parent


def kernel_root(package: Path = PACKAGE) -> Path:
    """The folder of the CUDA sources that belong to this npresnet.

    wheel, sdist, `pip install .`        npresnet/kernels, which the build put there
    editable install, bare checkout      kernels/ beside npresnet/, in the repository

    Raises DeviceError where neither is there.
    """
    installed = package / "kernels"
    if installed.is_dir():
        return installed
    repository = package.parent
    # PyPI has a package called `kernels`, which would lie beside an installed npresnet too: only a checkout counts
    if (repository / "pyproject.toml").is_file() and (repository / "kernels").is_dir():
        return repository / "kernels"
    raise DeviceError(
        f"npresnet's CUDA sources are missing: they should be in {installed}, or in kernels/ beside npresnet/ in a "
        f"checkout. Install npresnet again, with pip, from a wheel or a complete source tree"
    )
