"""What is kept for one image size: its schemes, and the plans that calls borrow.

A scheme says which algorithms and which memory the network takes; a plan is a scheme bound to memory of its own. There
are two kinds of plans (see `executable`): a job is the whole network for one image whose tiles several workers share; a
chain belongs to one worker and takes several images through the network, cut in two by `stages`.
"""

from __future__ import annotations

from collections.abc import Iterator

from npresnet.cpu.compiler.choices import Choice
from npresnet.cpu.compiler.lowering import CompiledShape, Options, Prepared, compile_shape, lower
from npresnet.cpu.compiler.stages import CUT, cut_in_two, groups_of
from npresnet.cpu.runtime.running import Chain
from npresnet.cpu.runtime.schedule import Job
from npresnet.network import Network
from npresnet.plan import Plan
from npresnet.plan.shapes import Shape


class Size:
    """Images of one size (C, H, W). Raises ShapeError where they do not fit the network.

    whole     the scheme for one image
    jobs      idle ones, which calls take and bring back
    chains    the same
    prepacked  batches whose weights have been prepacked
    """

    def __init__(self, network: Network, input_shape: Shape, prepared: Prepared, options: Options):
        self.whole = compile_shape(network, input_shape, 1, prepared, options)
        self.stages = cut_in_two(network, {name: value.shape for name, value in self.whole.layout.values.items()})
        self.jobs: list[Job] = []
        self.chains: list[Chain] = []
        self.prepacked: set[int] = set()
        self._backs: dict[int, CompiledShape] = {}
        self._prepared = prepared
        self._options = options

    def plan(self, workers: int = 1) -> Plan:
        """A new plan of the whole network for one image."""
        return lower(self.whole, self._prepared, workers)

    def plans(self, images: int = 1) -> list[Plan]:
        """New plans that one worker runs for so many images: of the whole network, or of its front and its back."""
        return [self.plan()] if self.stages is None or images == 1 else [self._front(), self._back(images)]

    def new_job(self, workers: int) -> Job:
        """The whole network for one image and several workers."""
        return Job(self.plan(workers), workers)

    def new_chain(self) -> Chain:
        """The network for one worker."""
        return Chain(self.plan(), None) if self.stages is None else Chain(self._front(), self._back)

    def choices(self, images: int, threads: int) -> Iterator[tuple[str, Choice]]:
        """(layer, choice) for all plans that a batch of so many images runs, some of them twice."""
        alone = self.whole.choices
        whole = images - images % threads if self.stages is not None else 0
        counts = {last - first for first, last in groups_of(whole, threads)} | ({1} if whole < images else set())
        for name, choice in alone.items():
            for count in sorted(counts):
                yield name, (choice if count == 1 else self._back_scheme(count).choices.get(name, choice))

    def _front(self) -> Plan:
        assert self.stages is not None
        shape = self.whole.layout.input_shape
        return lower(compile_shape(self.stages.front, shape, 1, self._prepared, self._options), self._prepared, 1)

    def _back(self, images: int) -> Plan:
        return lower(self._back_scheme(images), self._prepared, 1)

    def _back_scheme(self, images: int) -> CompiledShape:
        if images not in self._backs:  # two threads may both make it: the same
            assert self.stages is not None
            cut = self.whole.layout.values[self.stages.front.outputs[CUT]]
            self._backs[images] = compile_shape(self.stages.back, cut.shape, images, self._prepared, self._options)
        return self._backs[images]
