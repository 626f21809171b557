"""How dependent and how Gaussian samples are: the statistics of the Echo paper's appendices C and D.2."""

import math
import warnings

import numpy as np
from scipy import stats

from echo_tf.alive import alive

SINGULAR = 1e-13  # an eigenvalue of a correlation matrix, for each dimension, that is rounding
HIGHEST, LOW, LOWEST = 9, 3, 1  # dimensions shown in Figure 6, by rate


def covariance_of(moments):
    """The covariance, from the summed outer products of (1, x), shape (d + 1, d + 1)."""
    mean = moments[0, 1:] / moments[0, 0]
    return moments[1:, 1:] / moments[0, 0] - np.outer(mean, mean)


def total_correlation(covariance):
    """The total correlation -1/2 log det C of a Gaussian with this covariance, in nats; C is its correlation matrix.

    For other laws this is the second-order approximation. The formula printed in appendix C, -log |diag^-1 Sigma|,
    has no 1/2 and is twice this. Dimensions that do not vary are left out: they depend on nothing. Infinite where a dimension
    is a linear function of others: where, in float64, an eigenvalue of C is at most 1e-13 times their number, which is a
    residual of 3e-7 standard deviations and what float32 codes have left of such a dependence by rounding.

    >>> print(f"{total_correlation(np.array([[1.0, 0.5], [0.5, 1.0]])):.4f}")  # -1/2 log(1 - 0.5^2)
    0.1438
    """
    variance = np.diag(covariance)
    varies = variance > 0
    scale = np.sqrt(variance[varies])
    eigenvalues = np.linalg.eigvalsh(np.asarray(covariance, np.float64)[np.ix_(varies, varies)] / np.outer(scale, scale))
    if (eigenvalues <= SINGULAR * len(eigenvalues)).any():
        return math.inf
    return max(0.0, -0.5 * float(np.log(eigenvalues).sum()))


def binned_density(counts, low, width, bandwidth, grid):
    """Kernel density of binned data: the counts put in their bins' middles, under a Gaussian kernel.

    Exact but for the binning, which changes the density by about (width / bandwidth)**2 / 24 of itself.

    Args:
        counts: (K,) samples in each bin; bin k covers low + width * [k, k + 1).
        bandwidth: the kernel's standard deviation.
        grid: where to evaluate, (G,).
    """
    used = np.flatnonzero(counts)
    middles = low + width * (used + 0.5)
    kernel = np.exp(-0.5 * ((grid[:, None] - middles) / bandwidth) ** 2) / (bandwidth * np.sqrt(2 * np.pi))
    return kernel @ counts[used] / counts.sum()


def anderson_darling(sample):
    """The Anderson-Darling statistic A² of a sample, and the value that it exceeds in 5 % of samples of a Gaussian.

    The null hypothesis is a Gaussian of unknown mean and variance. The statistic is SciPy's. The critical
    value 0.752 / (1 + 0.75 / n + 2.25 / n²) is that of D'Agostino and Stephens, "Goodness-of-Fit Techniques" (1986),
    table 4.9, which SciPy drops from its answer between 1.17 and 1.19.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # it asks for how to compute a p-value, which is not used
        statistic = stats.anderson(sample, "norm").statistic
    n = len(sample)
    return float(statistic), 0.752 / (1 + 0.75 / n + 2.25 / n**2)


def gaussianity_of(codes, small):
    """The Anderson-Darling test of each dimension of codes (n, d) in random order: of all of them, and of parts of `small`.

    Returns:
        A dict of arrays "anderson_darling_..."; results/COLUMNS.md defines them.
    """
    codes = np.asarray(codes, np.float64)
    n, d = codes.shape
    parts = codes[: n // small * small].reshape(-1, small, d)
    whole = np.array([anderson_darling(column) for column in codes.T])
    each = np.array([[anderson_darling(column) for column in part.T] for part in parts])
    return {
        "anderson_darling_codes": np.array(n),
        "anderson_darling_statistic": whole[:, 0],
        "anderson_darling_critical": whole[0, 1],
        "anderson_darling_codes_small": np.array(small),
        "anderson_darling_statistic_small": each[0, :, 0],
        "anderson_darling_critical_small": each[0, 0, 1],
        "anderson_darling_samples_small": np.array(len(parts)),
        "anderson_darling_rejected_small_fraction": (each[..., 0] > each[..., 1]).mean(axis=0),
    }


def dimensions_shown(rates, floor):
    """The thirteen dimensions of Figure 6, by falling rate: the nine highest, three low ones and the lowest.

    The three are the lowest that are `alive`, above the channel's floor of a dimension, where there are three.
    """
    order = np.argsort(-np.asarray(rates), kind="stable")
    between = order[HIGHEST:-LOWEST]
    used = between[alive(rates, floor)[between]]
    low = used[-LOW:] if len(used) >= LOW else between[:LOW]
    return order if len(order) <= HIGHEST + LOW + LOWEST else np.concatenate([order[:HIGHEST], low, order[-LOWEST:]])
