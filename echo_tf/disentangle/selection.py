"""Parts of a dataset with factors: a thinner grid of them, or one in which they depend on each other."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from echo_tf.data.arrays import PackedImages
from echo_tf.data.dataset import Dataset
from echo_tf.disentangle.dependence import DependentSubset, dependent_subset
from echo_tf.errors import InputError, nearest


def thinned(dataset: Dataset, strides: Mapping[str, int]) -> Dataset:
    """The training examples at every so-manieth value of some factors; their values are numbered anew.

    Args:
        strides: factor -> stride; factors that are not named keep all values.

    Raises:
        InputError: for a dataset without factors, a factor that it does not have, or a stride below 1.
    """
    _check_factors(dataset)
    for name, stride in strides.items():
        if name not in dataset.factor_names:
            known = ", ".join(dataset.factor_names)
            raise InputError(f"{dataset.name} has the factors {known}, got {name!r}{nearest(name, dataset.factor_names)}.")
        if stride < 1:
            raise InputError(f"the stride of {name} must be 1 or more, got {stride}.")
    each = np.array([strides.get(name, 1) for name in dataset.factor_names])
    factors = dataset.factors["train"]
    rows = np.flatnonzero((factors % each == 0).all(axis=1))
    sizes = tuple(-(-size // stride) for size, stride in zip(dataset.factor_sizes, each.tolist()))
    words = ", ".join(f"every {stride}. {name}" for name, stride in strides.items())
    return _part(dataset, rows, words, factors=(factors[rows] // each).astype(factors.dtype), sizes=sizes)


def dependent(
    dataset: Dataset, num_blocks: int = 8, remove_probability: float = 0.15, seed: int = 42
) -> tuple[Dataset, DependentSubset]:
    """The training examples of a `dependent_subset` of the factors, and that subset.

    Raises:
        InputError: for a dataset without factors, and as `dependent_subset`.
    """
    _check_factors(dataset)
    try:
        kept = dependent_subset(dataset.factor_sizes, num_blocks, remove_probability, seed)
    except ValueError as error:
        raise InputError(f"{dataset.name}: {error}") from error
    places = np.ravel_multi_index(tuple(dataset.factors["train"].T.astype(np.int64)), dataset.factor_sizes)
    rows = np.flatnonzero(np.isin(places, kept.indices))
    words = f"{num_blocks} blocks, pairs removed with probability {remove_probability:g} (seed {seed})"
    return _part(dataset, rows, words, factors=dataset.factors["train"][rows], sizes=dataset.factor_sizes), kept


def _check_factors(dataset):
    if not dataset.factor_sizes:
        raise InputError(f"{dataset.name} has no factors of variation: take dsprites, or data with factors of your own.")


def _part(dataset, rows, words, factors, sizes):
    examples = dataset.splits["train"]
    packed = isinstance(examples, PackedImages)
    chosen = PackedImages(examples.bits[rows], examples.shape[1:]) if packed else examples[rows]
    return dataclasses.replace(
        dataset,
        splits={"train": chosen},
        labels={split: labels[rows] for split, labels in dataset.labels.items() if split == "train"},
        factors={"train": factors},
        factor_sizes=sizes,
        variant=f"{dataset.variant}; {words}",
        checked="",
    )
