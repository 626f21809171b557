"""DCI: how a classifier of each factor spreads its reliance over the dimensions of a code."""

from typing import NamedTuple

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from echo_tf import arguments
from echo_tf.disentangle.sampling import Sampler, Settings


class DCI(NamedTuple):
    """What `dci` gives.

    score: the disentanglement, in [0, 1].
    disentanglement: 1 where each dimension is relied on for one factor alone, weighted by how much it is relied on.
    completeness: 1 where each factor is told by one dimension alone.
    informativeness: the accuracy on new images, mean over the factors.
    importance: of each dimension for each factor that varies, (d, F).
    settings: see `Settings`.
    """

    score: float
    disentanglement: float
    completeness: float
    informativeness: float
    importance: np.ndarray
    settings: Settings


def dci(represent, dataset, seed=0, num_train=None, num_test=None, num_trees=20, batch_size=64) -> DCI:
    """Disentanglement, completeness and informativeness of a representation.

    Source: Eastwood and Williams, "A Framework for the Quantitative Evaluation of Disentangled Representations", ICLR 2018. The
    importances are those of a random forest, one of that paper's two choices; Locatello et al. (ICML 2019) boost trees
    instead, which takes minutes and gives other numbers.

    Args:
        represent, dataset, seed: see `echo_tf.disentangle.sampling`.
        num_train, num_test: images; None: 10,000 and 5,000, or two thirds and a third of fewer examples.
        num_trees: of each forest.
        batch_size: images that are encoded together.

    Raises:
        ValueError: for fewer images than a factor has values, and as `Sampler`.
    """
    sampler = Sampler(represent, dataset, seed)
    arguments.integer("num_trees", num_trees)
    (factors, codes), (new_factors, new_codes) = train_and_test(sampler, num_train, num_test, batch_size)
    unit = 2.0 ** -np.round(np.log2(np.where(np.ptp(codes, axis=0) > 0, codes.std(axis=0), 1.0)))  # exact; trees see 1e-7 alone
    codes, new_codes = unit * codes, unit * new_codes
    importance, accuracies = [], []
    for factor in sampler.varying:
        forest = RandomForestClassifier(num_trees, min_samples_leaf=3, random_state=seed).fit(codes, factors[:, factor])
        importance.append(forest.feature_importances_)
        accuracies.append(forest.score(new_codes, new_factors[:, factor]))
    importance = np.transpose(importance)
    settings = sampler.settings(num_train=len(codes), num_test=len(new_codes), num_trees=num_trees)
    disentanglement, completeness = _concentration(importance), _concentration(importance.T)
    return DCI(disentanglement, disentanglement, completeness, float(np.mean(accuracies)), importance, settings)


def train_and_test(sampler, num_train, num_test, batch_size, least=1):
    """The factors and codes that a classifier is fitted to, and those that it is tried on; `least` of the former a value."""
    needed, why = least * int(sampler.sizes.max()), f" ({least} for each value of the largest factor)"
    if num_train is not None:
        arguments.integer("num_train", num_train, needed, why=why)
    if num_test is not None:
        arguments.integer("num_test", num_test, 1, why=" (images)")
    train, test = sampler.sets((num_train, num_test), (10_000, 5_000), batch_size)
    arguments.integer("num_train", len(train[1]), needed, why=why)
    return train, test


def _concentration(importance):
    """1 - entropy / log of the number of columns of each row taken as a distribution, weighted by the rows' sums."""
    total, columns = importance.sum(), importance.shape[1]
    if total == 0:
        return 0.0
    if columns == 1:
        return 1.0
    sums = importance.sum(axis=1, keepdims=True)
    share = np.divide(importance, sums, out=np.full_like(importance, 1 / columns), where=sums > 0)
    entropy = -np.sum(share * np.log(np.where(share > 0, share, 1.0)), axis=1) / np.log(columns)
    return float(sums[:, 0] @ (1 - entropy) / total)
