"""A dataset whose factors depend on each other: combinations of blocks of their values are left out at random."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from echo_tf import arguments


class DependentSubset(NamedTuple):
    """What `dependent_subset` gives.

    indices: of the combinations that are kept, (n,), in the order of the grid (the last factor changes fastest).
    total_correlation: of the factors among these, all equally likely, in nats: exact.
    """

    indices: np.ndarray
    total_correlation: float


def dependent_subset(
    factor_sizes: Sequence[int], num_blocks: int = 8, remove_probability: float = 0.15, seed: int = 42
) -> DependentSubset:
    """Cuts each factor's values into blocks and leaves out, for every two factors, pairs of blocks at random.

    Source: Echo paper, section 5.3, in the order of draws of its released code. 8 blocks on dSprites give the size and the
    total correlation that the paper states (15 %, 1.49 nats), 4 are what its text says (17 %, 1.44 nats).

    Args:
        factor_sizes: the number of values of each factor.
        num_blocks: of consecutive values, as equal as can be; a factor of fewer values has a block each.
        remove_probability: of each pair of blocks.
        seed: of `numpy.random.RandomState`.

    Raises:
        ValueError: for sizes or blocks below 1, a probability outside 0..1, or if nothing is left.

    >>> kept = dependent_subset((3, 6, 40, 32, 32))
    >>> len(kept.indices), round(kept.total_correlation, 3)
    (104960, 1.491)
    """
    sizes = tuple(arguments.integer("each of factor_sizes", size) for size in np.ravel(factor_sizes))
    if not sizes:
        raise ValueError(f"factor_sizes must be one or more numbers of values, got {factor_sizes!r}.")
    num_blocks = arguments.integer("num_blocks", num_blocks)
    remove_probability = arguments.number("remove_probability", remove_probability, "[0, 1]")
    draws = np.random.RandomState(seed)
    blocks = [np.array_split(np.arange(size), min(num_blocks, size)) for size in sizes]
    kept = np.ones(sizes, bool)
    for first, second in itertools.combinations(range(len(sizes)), 2):
        for one, other in itertools.product(blocks[first], blocks[second]):
            if draws.rand() < remove_probability:
                place = [slice(None)] * len(sizes)
                place[first], place[second] = slice(one[0], one[-1] + 1), slice(other[0], other[-1] + 1)
                kept[tuple(place)] = False
    if not kept.any():
        raise ValueError(
            f"remove_probability={remove_probability} and num_blocks={num_blocks} remove every combination of factors of the "
            f"sizes {sizes}: take a lower probability or another seed."
        )
    return DependentSubset(np.flatnonzero(kept), total_correlation(kept))


def total_correlation(kept: np.ndarray) -> float:
    """The total correlation, in nats, of factors that are uniform over the combinations kept: boolean, an axis a factor."""
    number = np.count_nonzero(kept)
    entropies = 0.0
    for axis in range(kept.ndim):
        share = np.count_nonzero(kept, axis=tuple(other for other in range(kept.ndim) if other != axis)) / number
        share = share[share > 0]
        entropies -= float(share @ np.log(share))
    return entropies - float(np.log(number))
