"""Scores from the mutual information of each dimension, in bins, with each factor: MIG and modularity."""

from typing import NamedTuple

import numpy as np
from sklearn.metrics import mutual_info_score

from echo_tf import arguments
from echo_tf.disentangle.sampling import Sampler, Settings


class MutualInformationGap(NamedTuple):
    """What `mutual_information_gap` gives.

    score: the mean of `gaps`, in [0, 1].
    gaps: of each factor that varies, as a share of its entropy.
    information_nats: of each dimension with each factor that varies, (d, F).
    entropy_nats: of each factor that varies, (F,).
    settings: see `Settings`.
    """

    score: float
    gaps: tuple
    information_nats: np.ndarray
    entropy_nats: np.ndarray
    settings: Settings


class Modularity(NamedTuple):
    """What `modularity` gives.

    score: the mean of `of_dimensions`, in [0, 1].
    of_dimensions: 1 where a dimension tells of one factor alone, 0 where of all alike, or of none.
    settings: see `Settings`.
    """

    score: float
    of_dimensions: tuple
    settings: Settings


def mutual_information_gap(represent, dataset, seed=0, num_points=None, num_bins=20, batch_size=64) -> MutualInformationGap:
    """The mutual information gap (MIG) of a representation.

    For each factor, the information that the best dimension has of it minus that of the second best, over the factor's entropy.

    Source: Chen, Li, Grosse and Duvenaud, "Isolating Sources of Disentanglement in VAEs", NeurIPS 2018, section 4; bins of
    equal width as in Locatello et al., ICML 2019.

    Args:
        represent, dataset, seed: see `echo_tf.disentangle.sampling`.
        num_points: images; None: 10,000 of a dataset, all codes of an array.
        num_bins: of each dimension, from its least to its largest value.
        batch_size: images that are encoded together (which bears on codes with noise from the batch alone).

    Raises:
        ValueError: for fewer points than bins, and as `Sampler`.
    """
    sampler, factors, codes = _drawn(represent, dataset, seed, num_points, num_bins, batch_size)
    information = informations(codes, factors, num_bins)
    entropy = np.array([mutual_info_score(column, column) for column in factors.T])
    best = np.sort(np.vstack([np.zeros_like(entropy), information]), axis=0)[::-1]
    gaps = np.divide(best[0] - best[1], entropy, out=np.zeros_like(entropy), where=entropy > 0)
    settings = sampler.settings(num_points=len(codes), num_bins=num_bins)
    return MutualInformationGap(float(gaps.mean()), tuple(gaps.tolist()), information, entropy, settings)


def modularity(represent, dataset, seed=0, num_points=None, num_bins=20, batch_size=64) -> Modularity:
    """The modularity of a representation: how near each dimension comes to telling of one factor alone.

    Source: Ridgeway and Mozer, "Learning Deep Disentangled Embeddings with the F-Statistic Loss", NeurIPS 2018, section 3.
    With one factor that varies, every dimension that tells of it is modular.

    Args: as `mutual_information_gap`.

    Raises:
        ValueError: as `mutual_information_gap`.
    """
    sampler, factors, codes = _drawn(represent, dataset, seed, num_points, num_bins, batch_size)
    squares = np.square(informations(codes, factors, num_bins))
    most = squares.max(axis=1)
    others = (squares.sum(axis=1) - most) / max(1, squares.shape[1] - 1)
    found = np.where(most > 0, 1.0 - np.divide(others, most, out=np.zeros_like(most), where=most > 0), 0.0)
    settings = sampler.settings(num_points=len(codes), num_bins=num_bins)
    return Modularity(float(found.mean()), tuple(found.tolist()), settings)


def informations(codes: np.ndarray, factors: np.ndarray, num_bins: int) -> np.ndarray:
    """The mutual information, in nats, of each dimension of codes (n, d), in bins of equal width, with each factor (n, F)."""
    binned = np.stack([_binned(column, num_bins) for column in codes.T], axis=1)
    return np.array([[mutual_info_score(b, f) for f in factors.T] for b in binned.T]).clip(min=0)


def _binned(values, num_bins):
    edges = np.linspace(values.min(), values.max(), num_bins + 1)
    return np.digitize(values, edges[1:-1])


def _drawn(represent, dataset, seed, num_points, num_bins, batch_size):
    arguments.integer("num_bins", num_bins, 2, why=" (of one bin nothing can be told)")
    sampler, why = Sampler(represent, dataset, seed), " (as many as bins)"
    if num_points is not None:
        arguments.integer("num_points", num_points, num_bins, why=why)
    factors, codes = sampler.codes(num_points, batch_size, max(10_000, 0 if sampler.known is None else len(sampler.known)))
    arguments.integer("num_points", len(codes), num_bins, why=why)
    return sampler, factors[:, sampler.varying], codes
