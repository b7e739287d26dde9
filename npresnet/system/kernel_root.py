"""Locate the device code: `kernels/` holds *.cu and *.cuh files and no Python, so it is not importable."""

from __future__ import annotations

from pathlib import Path

from npresnet.errors import DeviceError

PACKAGE = Path(__file__).resolve().parent.parent


def kernel_root(package: Path = PACKAGE) -> Path:
    """The folder of this npresnet's CUDA sources.

    wheel, sdist, `pip install .`        npresnet/kernels, put there by the build
    editable install, bare checkout      kernels/ beside npresnet/, in the repository

    Raises DeviceError if neither exists.
    """
    installed = package / "kernels"
    if installed.is_dir():
        return installed
    repository = package.parent
    # only in a checkout: PyPI's package `kernels` would be installed beside npresnet, too
    if (repository / "pyproject.toml").is_file() and (repository / "kernels").is_dir():
        return repository / "kernels"
    raise DeviceError(
        f"npresnet's CUDA sources are missing: expected in {installed}, or in kernels/ beside npresnet/ in a "
        f"checkout. Reinstall npresnet with pip, from a wheel or a complete source tree"
    )
