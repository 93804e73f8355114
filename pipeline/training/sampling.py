"""Which image is drawn when: a function of (seed, sample number) alone."""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from pipeline.errors import PipelineError
from pipeline.rng import generator


class NumberedBatches(Sampler[list[tuple[int, int]]]):
    """Batches of (index, number) for the iterations start..stop-1.

    number counts the samples of the whole training from 0, so it is the key for augmentations. The data set is
    gone through in a new order in each epoch; batches run on over the border of epochs, so all are full.
    With several processes each takes every world-th sample of the batch.
    """

    def __init__(self, size: int, batch: int, start: int, stop: int, seed: int, rank: int = 0, world: int = 1) -> None:
        if batch % world:
            raise PipelineError(f"a batch of {batch} cannot be shared by {world} processes; start a number of them that divides it")
        self.size, self.batch, self.start, self.stop = size, batch, start, stop
        self.rank, self.world = rank, world
        self.order = lru_cache(maxsize=2)(lambda epoch: _order(size, seed, epoch))

    def __len__(self) -> int:
        return max(0, self.stop - self.start)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for iteration in range(self.start, self.stop):
            numbers = range(iteration * self.batch + self.rank, (iteration + 1) * self.batch, self.world)
            yield [(self.index(number), number) for number in numbers]

    def index(self, number: int) -> int:
        """The image of a sample number."""
        return int(self.order(number // self.size)[number % self.size])


def _order(size: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return generator(seed, "order", epoch).permutation(size)
