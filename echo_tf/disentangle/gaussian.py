"""The total correlation of a code as if it were Gaussian, which needs no factors."""

import numpy as np

from echo_tf.gaussianity import total_correlation


def gaussian_total_correlation(codes) -> float:
    """-1/2 log det of the correlation matrix of codes (n, d), in nats: the total correlation of a Gaussian with it.

    Source: Echo paper, appendix C; Locatello et al., ICML 2019, section 5.2. Dimensions that do not vary are left out.
    Infinite where a dimension is a copy or another linear function of others (up to 3e-7 of its standard deviation; see
    `echo_tf.gaussianity.total_correlation`), as is the information that such a dimension has of them.

    Raises:
        ValueError: for codes that are no matrix, not finite, or no more than they have dimensions.

    >>> codes = np.random.default_rng(0).normal(size=(100_000, 2)) @ [[1, 0.5], [0, 1]]
    >>> print(f"{gaussian_total_correlation(codes):.2f}")  # -1/2 log(1 - 0.2)
    0.11
    """
    codes = np.asarray(codes, np.float64)
    if codes.ndim != 2 or len(codes) <= codes.shape[1]:
        raise ValueError(f"codes must be a matrix (n, d) with n above d, got the shape {codes.shape}.")
    if not np.isfinite(codes).all():
        raise ValueError("the codes must be finite, got NaN or infinity among them.")
    codes = codes[:, np.ptp(codes, axis=0) > 0]  # of a constant, the rounded variance may be above 0
    if codes.shape[1] < 2:
        return 0.0
    return total_correlation(np.cov(codes, rowvar=False))
