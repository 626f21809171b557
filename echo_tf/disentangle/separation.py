"""SAP: how much better the best single dimension tells a factor than the second best."""

import warnings
from typing import NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC

from echo_tf.disentangle.importance import train_and_test
from echo_tf.disentangle.sampling import Sampler, Settings


class SAP(NamedTuple):
    """What `sap` gives.

    score: the mean of `gaps`, in [0, 1].
    gaps: of each factor that varies.
    accuracy: with which each dimension alone tells each factor that varies, on new images, (d, F).
    settings: see `Settings`.
    """

    score: float
    gaps: tuple
    accuracy: np.ndarray
    settings: Settings


def sap(represent, dataset, seed=0, num_train=None, num_test=None, batch_size=64) -> SAP:
    """The separated attribute predictability of a representation.

    Source: Kumar, Sattigeri and Balakrishnan, "Variational Inference of Disentangled Latent Concepts from Unlabeled
    Observations", ICLR 2018, section 3; all factors as classes and the linear support vector machine as in Locatello et al.,
    ICML 2019. Codes are divided by their largest standard deviation, for the reason that `beta_vae_score` gives.

    Args: as `dci`.

    Raises:
        ValueError: for fewer images than a factor has values, and as `Sampler`.
    """
    sampler = Sampler(represent, dataset, seed)
    (factors, codes), (new_factors, new_codes) = train_and_test(sampler, num_train, num_test, batch_size, least=2)
    for j in sampler.varying:
        if np.ptp(factors[:, j]) == 0:
            raise ValueError(
                f"num_train={len(codes)} images have one value alone of factor {j}, of {sampler.sizes[j]}: take more."
            )
    mean, scale = codes.mean(axis=0), codes.std(axis=0).max() or 1.0
    codes, new_codes = (codes - mean) / scale, (new_codes - mean) / scale
    accuracy = np.zeros((codes.shape[1], len(sampler.varying)))
    for (i, j), _ in np.ndenumerate(accuracy):
        factor = sampler.varying[j]
        accuracy[i, j] = _told(codes[:, i], factors[:, factor], new_codes[:, i], new_factors[:, factor], seed)
    best = np.sort(np.vstack([np.zeros(accuracy.shape[1]), accuracy]), axis=0)[::-1]
    gaps = best[0] - best[1]
    settings = sampler.settings(num_train=len(codes), num_test=len(new_codes))
    return SAP(float(gaps.mean()), tuple(gaps.tolist()), accuracy, settings)


def _told(x, y, new_x, new_y, seed):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of dimensions that tell nothing
        machine = LinearSVC(C=0.01, class_weight="balanced", dual=False, random_state=seed).fit(x[:, None], y)
    return machine.score(new_x[:, None], new_y)
