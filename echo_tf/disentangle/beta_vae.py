"""The beta-VAE score: whether a linear classifier tells which factor two groups of images share."""

from typing import NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression

from echo_tf import arguments
from echo_tf.disentangle.sampling import Sampler, Settings


class BetaVAEScore(NamedTuple):
    """What `beta_vae_score` gives.

    score: the accuracy on new pairs of groups, in [0, 1].
    train_score: on those that the classifier was fitted to.
    settings: see `Settings`.
    """

    score: float
    train_score: float
    settings: Settings


def beta_vae_score(represent, dataset, seed=0, batch_size=64, num_train=10_000, num_eval=5_000) -> BetaVAEScore:
    """The beta-VAE score of a representation.

    Pairs of images share the value of one factor; from the mean absolute difference of the codes of `batch_size` such pairs, a
    logistic regression is to say which. The differences are divided by their largest, for
    else the regression's penalty would make the common scale of a code, which is arbitrary, a part of the score. The scale of a
    dimension beside the others remains one: the penalty is on its weight.

    Source: Higgins et al., "beta-VAE", ICLR 2017; sizes and classifier as in Locatello et al., ICML 2019.

    Args: as `factor_vae_score`.

    Raises:
        ValueError: for sizes too small, and as `Sampler`.
    """
    arguments.integer("batch_size", batch_size, 1, why=" (pairs of images)")
    sampler = Sampler(represent, dataset, seed)
    arguments.integer("num_train", num_train, 2 * len(sampler.sizes), why=" (two a factor)")
    arguments.integer("num_eval", num_eval, 1, why=" (groups)")
    settings = sampler.settings(batch_size=batch_size, num_train=num_train, num_eval=num_eval)
    features, labels = zip(*(_differences(sampler, number, batch_size) for number in (num_train, num_eval)))
    scale = features[0].max() or 1.0
    if len(np.unique(labels[0])) == 1:
        return BetaVAEScore(float((labels[1] == labels[0][0]).mean()), 1.0, settings)
    classifier = LogisticRegression(max_iter=1000).fit(features[0] / scale, labels[0])
    scores = [float(classifier.score(x / scale, y)) for x, y in zip(features, labels)]
    return BetaVAEScore(scores[1], scores[0], settings)


def _differences(sampler, number, batch_size):
    """Mean absolute differences (n, d) of the codes of pairs that share a factor, and that factor (n,)."""
    shared, examples = sampler.pairs(number, batch_size)
    found = [np.abs(c[:, :batch_size] - c[:, batch_size:]).mean(axis=1) for c in sampler.codes_of_groups(examples)]
    return np.concatenate(found), shared
