"""The exact rate-distortion curve of a linear decoder, x = W z + b + noise with z ~ N(0, I), and of mixtures of Gaussians.

Huang, Makhzani, Cao and Grosse, "Evaluating Lossy Compression Rates of Deep Generative Models", ICML 2020: appendix B.1,
equations 57-69. The optimal channel for slope -beta is q(z|x) ~ p(z) exp(-beta d(x, W z + b)), a Gaussian. With the
singular values d_i of W, y = U'(x - b) and b' the precision that beta d amounts to, it has in the basis V

    the variances s_i = 1 / (b' d_i² + 1),   the means b' d_i s_i y_i,   and  W mean = (1 - s_i) y_i in the basis U.

What a linear decoder gives is N(b, W W'): one Gaussian as the marginal of the reproductions. A mixture of them has an exact
curve too, `gaussian_mixture_bound`.

The paper's equations 64-66 write k, the size of the code, in the constant k/2 log 2 pi of the distortion. It is the number
of pixels that belongs there.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import logsumexp

from echo_tf import arguments


class LinearVae(NamedTuple):
    """Arrays (num_betas, num_images)."""

    rate_nats: np.ndarray  # KL(q(z|x) || p(z))
    distortion: np.ndarray  # nats for `linear_vae_per_image`, squared error for the other
    log_z_nats: np.ndarray  # log of the mean over p(z) of exp(-beta d): -(rate + beta * distortion) exactly


def linear_vae(weights, bias, images, betas, noise_variance=1.0):
    """Rate and distortion, -log N(x; W z + b, noise_variance I) with its constant, as means over images.

    Args:
        weights: W, (pixels, k); k may exceed the number of pixels.
        bias: b, (pixels,).
        images: (n, ...) of `pixels` numbers each.
        betas: >= 0.
        noise_variance: of the decoder, > 0.

    Returns:
        A DataFrame: beta, rate_nats, distortion_nats, log_z_nats. At beta = 1, log_z_nats is the mean of log p(x).

    Raises:
        ValueError: for shapes that do not fit, values that are not finite, beta < 0, a variance that is not positive.

    >>> curve = linear_vae([[1.0], [0.0]], [0.0, 0.0], [[2.0, 0.0]], [1.0])
    >>> print(f"{curve.log_z_nats[0]:.6f}")  # log N(2; 0, 2) + log N(0; 0, 1)
    -3.184451
    """
    per_image = linear_vae_per_image(weights, bias, images, betas, noise_variance)
    return _means(betas, per_image, "distortion_nats")


def linear_vae_per_image(weights, bias, images, betas, noise_variance=1.0):
    """As `linear_vae`, for each image: LinearVae of arrays (num_betas, num_images), the distortion in nats."""
    variance = arguments.number("noise_variance", noise_variance, "(0, inf)")
    betas = arguments.betas(betas, zero=True)
    rate, error, pixels = _rate_and_error(weights, bias, images, betas / variance)
    distortion = error / (2 * variance) + pixels / 2 * np.log(2 * np.pi * variance)
    return LinearVae(rate, distortion, -(rate + betas[:, None] * distortion))


def linear_vae_squared_error(weights, bias, images, betas):
    """As `linear_vae`, with the sum of squared errors |x - W z - b|² as the distortion.

    Returns:
        A DataFrame: beta, rate_nats, distortion_sse, log_z_nats.
    """
    return _means(betas, linear_vae_squared_error_per_image(weights, bias, images, betas), "distortion_sse")


def linear_vae_squared_error_per_image(weights, bias, images, betas):
    """As `linear_vae_squared_error`, for each image: LinearVae of arrays (num_betas, num_images)."""
    betas = arguments.betas(betas, zero=True)
    rate, error, _ = _rate_and_error(weights, bias, images, 2 * betas)
    return LinearVae(rate, error, -(rate + betas[:, None] * error))


def _means(betas, per_image, distortion):
    columns = [per_image.rate_nats, per_image.distortion, per_image.log_z_nats]
    table = pd.DataFrame({"beta": arguments.betas(betas, zero=True)})
    return table.assign(**dict(zip(("rate_nats", distortion, "log_z_nats"), [values.mean(axis=1) for values in columns])))


def gaussian_mixture_bound(weights, means, covariances, examples, betas, factors=False):
    """The exact R_q(D) of examples for a mixture of Gaussians as the marginal q: an upper bound of R(D).

    For a component N(m, S) and one example, Z = |I + 2 beta S|^(-1/2) exp(-beta (x - m)' (I + 2 beta S)^-1 (x - m)), and
    the distortion is -d log Z / d beta.

    Args:
        weights: (K,) adding up to 1.
        means: (K, d).
        covariances: (K, d, d), or with `factors=True` (K, d, r), of which S = factor factor'. They may be singular.
        examples: (n, ...).
        betas: > 0, nats per unit of squared error.

    Returns:
        A DataFrame: beta, rate_nats, distortion_sse, rate_plus_beta_distortion_nats.

    Raises:
        ValueError: for shapes that do not fit, weights that do not add up to 1, values that are not finite, beta <= 0.
    """
    x, betas = arguments.matrix("examples", examples), arguments.betas(betas)
    weights, means, spread = (
        arguments.numeric("weights", weights),
        arguments.matrix("means", means, x.shape[1]),
        arguments.numeric("covariances", covariances),
    )
    k, d = means.shape
    if weights.shape != (k,) or not np.all(weights >= 0) or not abs(weights.sum() - 1) <= 1e-6:
        raise ValueError(f"weights must be {k} probabilities that add up to 1, got a sum of {weights.sum():.6g}.")
    if spread.ndim != 3 or spread.shape[:2] != (k, d) or not (factors or spread.shape[2] == d):
        raise ValueError(f"covariances must be of the shape ({k}, {d}, {'r' if factors else d}), got {spread.shape}.")
    if not np.all(np.isfinite(spread)):
        raise ValueError("covariances must be finite, got NaN or infinity among them.")
    bases = [basis_of(s, factors) for s in spread]
    used = np.flatnonzero(weights)
    parts = [gaussian_terms(x, means[k], bases[k], betas) for k in used]
    terms = np.stack([z + np.log(weights[k] / weights.sum()) for k, (z, _) in zip(used, parts)])
    log_z = logsumexp(terms, axis=0)
    distortion = sum(np.exp(term - log_z) * d for term, (_, d) in zip(terms, parts)).mean(axis=1)
    total = 0.0 - log_z.mean(axis=1)
    columns = (betas, np.maximum(0.0, total - betas * distortion), distortion, total)
    return pd.DataFrame(dict(zip(("beta", "rate_nats", "distortion_sse", "rate_plus_beta_distortion_nats"), columns)))


def basis_of(spread, factors):
    """Orthonormal directions (d, r) and variances (r,) of a covariance or a factor."""
    if factors:
        vectors, roots, _ = np.linalg.svd(spread, full_matrices=False)
        return vectors[:, roots > 0], roots[roots > 0] ** 2
    values, vectors = np.linalg.eigh((spread + spread.T) / 2)
    if values[0] < -1e-8 * max(values[-1], 1e-300):
        raise ValueError(f"covariances must have no negative eigenvalues, got {values[0]:.3g}.")
    keep = values > 1e-14 * max(values[-1], 0.0)
    return vectors[:, keep], values[keep]


def gaussian_terms(x, mean, basis, betas):
    """log Z and the distortion of examples (n, d), each (num_betas, n), for the marginal N(mean, basis)."""
    vectors, values = basis
    away = x - mean
    along = away @ vectors
    outside = np.maximum(np.einsum("ij,ij->i", away, away) - np.einsum("ij,ij->i", along, along), 0.0)
    shrink = 1.0 / (1.0 + 2.0 * betas[:, None] * values)  # (num_betas, r)
    log_z = 0.5 * np.log(shrink).sum(axis=1)[:, None] - betas[:, None] * (outside + shrink @ (along**2).T)
    distortion = outside + shrink**2 @ (along**2).T + (values * shrink).sum(axis=1)[:, None]
    return log_z, distortion


def _rate_and_error(weights, bias, images, precisions):
    """Rate and mean squared error under q(z|x) ~ N(z; 0, I) N(x; W z + b, I / precision), each (num_betas, num_images)."""
    weights, bias, x = _checked(weights, bias, images)
    u, d, _ = np.linalg.svd(weights, full_matrices=False)
    x = x - bias
    y = x @ u
    outside = np.sum((x - y @ u.T) ** 2, axis=1)
    gain = precisions[:, None] * d**2  # (num_betas, rank)
    s = 1.0 / (1.0 + gain)
    y = y**2
    volume = np.sum(np.log1p(gain) - gain * s, axis=1)  # -log det Sigma - (k - tr Sigma)
    rate = 0.5 * (volume[:, None] + (precisions[:, None] * s * (gain * s)) @ y.T)  # gain s <= 1: no square overflows
    error = outside + s**2 @ y.T + (d**2 * s).sum(axis=1)[:, None]
    return rate, error, x.shape[1]


def _checked(weights, bias, images):
    weights, bias = (
        arguments.array(name, values, -np.inf, "finite numbers", finite=True)
        for name, values in (("weights", weights), ("bias", bias))
    )
    if weights.ndim != 2 or not weights.size:
        raise ValueError(f"weights must be of the shape (pixels, k), got {weights.shape}.")
    if bias.shape != (len(weights),):
        raise ValueError(f"bias must be of the shape ({len(weights)},), a number a row of weights, got {bias.shape}.")
    return weights, bias, arguments.matrix("images", images, len(weights))
