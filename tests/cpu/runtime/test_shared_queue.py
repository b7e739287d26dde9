"""Work that threads take from one queue is done once, also in a Python without a GIL, where next() is not atomic."""

from __future__ import annotations

import threading
import time
from itertools import chain

import numpy as np

from npresnet.cpu import executable
from npresnet.cpu.compiler import programs
from npresnet.cpu.runtime.workers import Team, share
from tests.support.random_networks import random_network


class Racy(list):
    """Its iterator may give an item to two threads, as that of a list does without a GIL."""

    def __iter__(self):
        return _RacyIterator(self)


class _RacyIterator:
    def __init__(self, items):
        self.items, self.index = items, 0

    def __iter__(self):
        return self

    def __next__(self):
        index = self.index
        time.sleep(0.0005)
        self.index = index + 1
        if index >= len(self.items):
            raise StopIteration
        return self.items[index]


def test_shared_items():
    done = []
    share(Racy(range(40)), lambda item: (time.sleep(0.0005), done.append(item)), Team(4))
    assert sorted(done) == list(range(40))


def test_many_small_items():
    done: dict[int, list[int]] = {}
    share(range(30_000), lambda item: done.setdefault(threading.get_ident(), []).append(item), Team(3))
    assert sorted(chain(*done.values())) == list(range(30_000))


def test_groups_of_images(monkeypatch):
    split_batch, run_group, ran = programs.split_batch, executable.run_group, []

    def split(images, workers):
        found = split_batch(images, workers)
        return found._replace(groups=Racy(found.groups))

    def run(front, back, images, outputs, first, last):
        ran.append((first, last))
        run_group(front, back, images, outputs, first, last)

    monkeypatch.setattr(programs, "split_batch", split)
    monkeypatch.setattr(executable, "run_group", run)
    network, shape = random_network(3)
    executable.Executable(network, 2)(np.zeros((60, *shape), np.float32))
    assert len(ran) > 2
    assert sorted(image for first, last in ran for image in range(first, last)) == list(range(60))
