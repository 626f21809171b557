"""The FactorVAE score: which dimension varies least while one factor is held fixed, and how surely that tells the factor."""

from typing import NamedTuple

import numpy as np

from echo_tf import arguments
from echo_tf.disentangle.sampling import Sampler, Settings


class FactorVAEScore(NamedTuple):
    """What `factor_vae_score` gives.

    score: the accuracy of the majority vote on new groups, in [0, 1]; 0 where no dimension of the code varies.
    train_score: on the groups that the vote was made of.
    active: the dimensions that were not pruned.
    chance: what the commonest factor alone would reach.
    settings: see `Settings`.
    """

    score: float
    train_score: float
    active: tuple
    chance: float
    settings: Settings


def factor_vae_score(
    represent,
    dataset,
    seed=0,
    batch_size=64,
    num_train=10_000,
    num_eval=5_000,
    num_variance=None,
    threshold=0.05,
    absolute=False,
) -> FactorVAEScore:
    """The FactorVAE score of a representation.

    In a group of images that share the value of one factor, the dimension whose variance, relative to its variance over
    the dataset, is least votes for that factor.

    Source: Kim and Mnih, "Disentangling by Factorising", ICML 2018, section 4; sizes as in Locatello et al., ICML 2019.

    Args:
        represent, dataset, seed: see `echo_tf.disentangle.sampling`.
        batch_size: images a group.
        num_train, num_eval: groups that make and that test the vote.
        num_variance: images for the variances over the dataset; None: 10,000, or all of fewer examples.
        threshold: dimensions with a standard deviation below this share of the largest one are pruned. A share, because the
            common scale of a code is arbitrary (Echo's is 0.0005 before training). The scale of a dimension beside the others
            decides what is pruned, and nothing else.
        absolute: the threshold is a standard deviation itself, as in the releases of both papers.

    Raises:
        ValueError: for sizes too small, and as `Sampler`.
    """
    arguments.integer("batch_size", batch_size, 2, why=" (a variance needs two images)")
    for name, number in (("num_train", num_train), ("num_eval", num_eval)):
        arguments.integer(name, number, 1, why=" (groups)")
    arguments.number("threshold", threshold)
    arguments.flag("absolute", absolute)
    if num_variance is not None:
        arguments.integer("num_variance", num_variance, 2, why=" (a variance needs two images)")
    sampler = Sampler(represent, dataset, seed)
    _, codes = sampler.codes(num_variance, batch_size)
    num_variance = len(codes)
    variance = codes.var(axis=0, ddof=1)
    deviation = np.sqrt(variance)
    active = np.flatnonzero((deviation >= threshold * (1.0 if absolute else deviation.max())) & (np.ptp(codes, axis=0) > 0))
    options = {"batch_size": batch_size, "num_train": num_train, "num_eval": num_eval, "num_variance": num_variance}
    settings = sampler.settings(**options, threshold=threshold, absolute=absolute)
    if not active.size:
        return FactorVAEScore(0.0, 0.0, (), 1 / len(sampler.varying), settings)
    votes = _votes(sampler, num_train, batch_size, variance, active)
    says = votes.argmax(axis=1)
    tested = _votes(sampler, num_eval, batch_size, variance, active)
    score = tested[np.arange(len(says)), says].sum() / num_eval
    train_score = votes.max(axis=1).sum() / num_train
    return FactorVAEScore(
        float(score), float(train_score), tuple(active.tolist()), float(tested.sum(axis=0).max() / num_eval), settings
    )


def _votes(sampler, number, batch_size, variance, active):
    """How often each active dimension varied least while each factor was fixed, (active, F)."""
    fixed, examples = sampler.with_one_fixed(number, batch_size)
    least = []
    for codes in sampler.codes_of_groups(examples):
        least.append((codes[..., active].var(axis=1, ddof=1) / variance[active]).argmin(axis=1))
    votes = np.zeros((len(active), len(sampler.sizes)), np.int64)
    np.add.at(votes, (np.concatenate(least), fixed), 1)
    return votes
