"""Which image is drawn when: a function of (seed, sample number) alone."""

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from pipeline.errors import PipelineError
from pipeline.rng import generator

Order = Callable[[int], int]  # sample number -> image


class NumberedBatches(Sampler[list[tuple[int, int]]]):
    """Batches of (index, number) for the iterations start..stop-1.

    number counts the samples of the whole training from 0, so it is the key for augmentations. order: the image of
    each number; None: the whole data set in epochs. Batches run on over the border of epochs, so all are full.
    With several processes each takes every world-th sample of the batch.
    """

    def __init__(
        self, size: int, batch: int, start: int, stop: int, seed: int, rank: int = 0, world: int = 1, order: Order | None = None
    ) -> None:
        if batch % world:
            raise PipelineError(f"a batch of {batch} cannot be shared by {world} processes; start a number of them that divides it")
        self.batch, self.start, self.stop = batch, start, stop
        self.rank, self.world = rank, world
        self.order = order or epochs(range(size), seed)

    def __len__(self) -> int:
        return max(0, self.stop - self.start)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for iteration in range(self.start, self.stop):
            numbers = range(iteration * self.batch + self.rank, (iteration + 1) * self.batch, self.world)
            yield [(self.order(number), number) for number in numbers]


def epochs(images: Sequence[int], seed: int, *keys: int | str) -> Order:
    """All images once an epoch, in a new order in each. keys: tell apart orders of one seed."""
    if not images:
        raise PipelineError("there is no image to train on")

    @lru_cache(maxsize=2)
    def shuffled(epoch: int) -> NDArray[np.int64]:
        return generator(seed, "order", *keys, epoch).permutation(len(images))

    return lambda number: images[int(shuffled(number // len(images))[number % len(images)])]


def mixed(first: Order, second: Order, share: float) -> Order:
    """Two orders side by side: of n samples that follow each other, n * share are of the second, to within one."""
    part = Fraction(share).limit_denominator(1000)

    def image(number: int) -> int:
        before = number * part // 1
        return second(before) if (number + 1) * part // 1 > before else first(number - before)

    return image


def after(first: Order, samples: int, second: Order) -> Order:
    """The first order for so many samples, then the second from its beginning."""
    return lambda number: first(number) if number < samples else second(number - samples)
