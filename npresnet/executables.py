"""The compiled parts of one network, made when first asked for, the last few kept."""

from __future__ import annotations

import threading
from collections import OrderedDict
from functools import partial

from npresnet import cpu, passes
from npresnet.cpu import prepared
from npresnet.errors import DeviceError
from npresnet.network import Network

CAPACITY = 4  # the whole network, and three choices of features; each holds folded weights of its own

Modules = tuple[str, ...] | None  # None: the network's own outputs


class Executables:
    """Modules -> Executable. Safe to use from several threads; the least recently used goes when there are too many.

    What goes is let go of, not closed: another thread may be running it, and its last user frees it. `threads`,
    `winograd` and `fast` are those of `cpu.compile`; `content` is the weight file's identity, "" for none.
    """

    def __init__(self, network: Network, threads: int, *, winograd: bool = True, fast: bool = False, content: str = ""):
        self._network = network
        self._compile = partial(cpu.compile, threads=threads, winograd=winograd, fast=fast)
        self._content = content
        self._kept: OrderedDict[Modules, cpu.Executable] = OrderedDict()
        self._lock = threading.Lock()
        self.closed = False

    def get(self, modules: Modules) -> cpu.Executable:
        """The executable that gives these modules' results, compiled now if need be. Raises DeviceError when closed."""
        with self._lock:
            if self.closed:
                raise DeviceError("this model is closed; load it again, or use it inside its `with` block")
            executable = self._kept.get(modules)
            if executable is None:
                store = prepared.store_of(self._content) if modules is None else None
                part = self._network if modules is None else self._network.with_outputs(modules)
                executable = self._kept[modules] = self._compile(passes.optimize(part), store=store)
            self._kept.move_to_end(modules)
            if len(self._kept) > CAPACITY:
                self._kept.popitem(last=False)
            return executable

    def close(self) -> None:
        """Let go of everything, for good."""
        with self._lock:
            self.closed = True
            self._kept.clear()
