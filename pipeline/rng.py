"""Randomness per item: every draw depends on (seed, what, which item) alone, never on order or workers."""

import zlib

import numpy as np


def generator(seed: int, *keys: int | str) -> np.random.Generator:
    """NumPy generator for one item.

    keys: what is drawn and for which item, as in ``generator(seed, "placement", i)``; strings are
    folded by CRC-32. The same keys give the same stream on every platform.
    """
    return np.random.default_rng(np.random.SeedSequence([seed, *map(_word, keys)]))


def integer(seed: int, *keys: int | str) -> int:
    """A 32-bit integer for libraries that want to be seeded themselves (torch, MMEngine)."""
    return int(np.random.SeedSequence([seed, *map(_word, keys)]).generate_state(1)[0])


def _word(key: int | str) -> int:
    return zlib.crc32(key.encode()) if isinstance(key, str) else int(key)
