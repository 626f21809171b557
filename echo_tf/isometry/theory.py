"""What the theory says of the toy trainings: exact optima, approximations of the paper, and the metric of cross-entropy.

References: isometric VAE paper, appendices B, E.2 and H; the optimum of the linear VAE is `theory.linear_beta_vae`'s, with
squared error, which is -log N(x; output, 1/2) up to a constant.
"""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd

from echo_tf import arguments
from echo_tf.isometry.sources import VARIANCES
from echo_tf.theory.closed_forms import linear_beta_vae

ENTROPY_CODING_GAP = 0.5 * math.log(math.pi * math.e / 6)  # nats: what a uniform quantizer's code costs above the KL (eq. 82)


class LinearOptimum(NamedTuple):
    """The optimum of a one-dimensional linear VAE with loss squared error + beta KL; see `linear_optimum`."""

    encoder_gain: float  # a
    decoder_gain: float  # b
    noise_variance: float  # of z given x
    transform_loss: float  # E (x - xbar)^2
    coding_loss: float  # E (xbar - xhat)^2
    rate_nats: float
    norm: float  # (2 / beta) noise_variance b^2


def linear_optimum(variance: float, beta: float) -> LinearOptimum:
    """The optimum of z = a x + s eps, xhat = b z for x of this variance, under squared error + beta KL(N(a x, s^2) || N(0, 1)).

    Raises:
        ValueError: for an argument that is not a positive finite number.

    >>> print(f"{linear_optimum(1 / 6, 0.01).norm:.4f}")
    0.9700
    """
    found = linear_beta_vae(variance, 0.5, beta)
    a, b, s2 = found.encoder_gain, found.weight, found.encoder_variance
    transform, coding = variance * (1 - a * b) ** 2, b**2 * s2
    return LinearOptimum(a, b, s2, transform, coding, found.rate_nats, 2 / beta * s2 * b**2)


class LinearApproximation(NamedTuple):
    """Appendix B's stationary point, whose rate is the KL without sigma^2 / 2 (equation 6)."""

    encoder_gain: float
    decoder_gain: float
    noise_scale: float
    transform_loss: float
    coding_loss: float


def linear_approximation(variance: float, beta: float) -> LinearApproximation:
    """Equations 52-54. Raises ValueError unless 0 < beta <= variance / 2, beyond which there is no such point."""
    variance = arguments.number("variance", variance, "(0, inf)")
    beta = arguments.number("beta", beta, f"(0, {variance / 2!r}]")
    root = math.sqrt(1 - 2 * beta / variance)
    gain = math.sqrt(variance) * (1 + root) / 2
    scale = 2 * math.sqrt(beta / 2) / (math.sqrt(variance) * (1 + root))
    return LinearApproximation(variance**-0.5, gain, scale, ((root - 1) / 2) ** 2 * variance, beta / 2)


def normal_curves(betas) -> pd.DataFrame:
    """The exact optima on the source "norm" under the square loss: beta, coding and transform loss, rate, norms of z1 to z3."""
    rows = []
    for beta in np.atleast_1d(betas):
        every = [linear_optimum(variance, float(beta)) for variance in VARIANCES]
        rows.append(
            {
                "beta": float(beta),
                "coding_loss": sum(one.coding_loss for one in every),
                "transform_loss": sum(one.transform_loss for one in every),
                "rate_nats": sum(one.rate_nats for one in every),
                **{f"norm_z{i}": one.norm for i, one in enumerate(every, 1)},
                **{f"inverse_variance_z{i}": 1 / one.noise_variance for i, one in enumerate(every, 1)},
            }
        )
    return pd.DataFrame(rows)


def approximate_losses(beta):
    """(coding loss 3 beta / 2, transform loss 63/32 beta^2) on any toy source, the paper's lines of figures 21 and 22."""
    beta = np.asarray(beta, np.float64)
    return 1.5 * beta, beta**2 / 4 * sum(1 / variance for variance in VARIANCES)


def cross_entropy_metric(x):
    """1/2 (1/x + 1/(1 - x)), the metric of binary cross-entropy at x (equation 72, figure 26)."""
    x = np.asarray(x, np.float64)
    return 0.5 / (x * (1 - x))


def true_conditional_bound(beta: float, n: int) -> float:
    """E log p(x|z) under the true conditional of n isometric dimensions, -(n/2) log(beta pi e), in nats (equation 15)."""
    return -0.5 * n * math.log(beta * math.pi * math.e)
