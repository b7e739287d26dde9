"""Force convolutions to use an algorithm chosen by the test, whatever this machine's rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

from npresnet.cpu.compiler.choices import possible
from npresnet.cpu.kernels.layer import Choice, Layer

Wish = Callable[[Layer], Choice]


@contextmanager
def forced(wish: Choice | Wish) -> Iterator[list[Choice]]:
    """Every convolution that supports it uses `wish`, the others "direct, gemm"; yields the list of choices made."""
    taken: list[Choice] = []

    def choose(layer: Layer, *args: object, **options: object) -> Choice:
        wanted = wish if isinstance(wish, Choice) else wish(layer)
        taken.append(wanted if wanted in possible(layer) else Choice())
        return taken[-1]

    with patch("npresnet.cpu.compiler.conv2d.choose", choose):
        yield taken


def direct(form: str) -> Choice:
    return Choice("direct", 0, form)


def winograd(tile: int, form: str = "gemm") -> Choice:
    return Choice("winograd", tile, form)
