"""The shape of the posteriors, learned by a preliminary round, so that a leapfrog step fits wide directions and narrow ones.

Chains move in coordinates u with z = L u, where L L^T is proportional to the mean covariance of the posteriors of all images
at that inverse temperature. L has determinant 1: the step size carries the scale. Ours; the paper's mass is the identity.

Reference: Neal, "MCMC using Hamiltonian dynamics" (2011), section 4.1.
"""

import numpy as np


def factor_of(codes: np.ndarray, weights: np.ndarray) -> np.ndarray | None:
    """L (k, k), lower triangular with determinant 1, of weighted chains.

    The covariance is taken within the chains of each image and its mean over images, each counted by its effective chains; what
    few chains can't tell is taken from the diagonal.

    Args:
        codes: (M, B, k). weights: (M, B), that sum to 1 over the chains, or to 0 for images that are left out.

    Returns:
        L, or None where the chains don't tell.
    """
    degrees = (1 - (weights**2).sum(axis=0)) * (weights.sum(axis=0) > 0)  # (B,)
    effective = (degrees / np.maximum(1 - degrees, 1e-12)).sum()  # sum of ESS - 1
    size = codes.shape[-1]
    if effective < 2:
        return None
    centered = codes - np.einsum("mb,mbk->bk", weights, codes)
    flat = (np.sqrt(weights)[:, :, None] * centered).reshape(-1, size)
    covariance = flat.T @ flat / degrees.sum()
    share = size / (effective + size)
    covariance = (1 - share) * covariance + share * np.diag(np.diag(covariance))
    try:
        factor = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        return None
    factor /= np.exp(np.log(np.diag(factor)).mean())
    return factor if np.isfinite(factor).all() else None
