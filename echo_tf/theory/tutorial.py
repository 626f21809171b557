"""The numbers of a tutorial on rate-distortion theory and variational autoencoders, as tables, and the exact values beside.

The tutorial's parts: Blahut-Arimoto on a binary source (demo 1), the Gaussian R(D) (example 1), the two parts of a VAE's loss
(demo 2, example 2), posterior collapse (example 3). Rates are nats, or bits where `unit="bits"` is asked for.
"""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit, xlogy

from echo_tf import arguments
from echo_tf.theory.blahut_arimoto import rate_distortion_curve
from echo_tf.theory.closed_forms import (
    bernoulli_rate,
    binary_entropy,
    gaussian_rate,
    in_bits,
    linear_beta_vae,
)

PRINTED_BITS = [0.0, 0.0, 0.0, 0.0, 0.0, 0.5766]  # demo 1's table: every fifth of 30 betas
PRINTED_DISTORTION = [0.2015, 0.2000, 0.2000, 0.2000, 0.2000, 0.0207]
SMALLEST_LOGIT, LARGEST_LOGIT = 1e-6, 100.0  # of a decoder's probability: 1/2 and 0 to the accuracy of float64


def binary_demo(unit="bits", betas=None):
    """Demo 1: R(D) of the source (0.8, 0.2) under Hamming distortion, converged, against h(0.2) - h(D).

    The rate is 0 up to beta = ln 4 = 1.386. The tutorial's 0.2015 at beta = 0.01 is where its iteration stopped, since q
    changed by less than 1e-6 a step; the distortion there is 0.2. Its 0.5766 and 0.0207 at 3.86 are rounded.

    Args:
        unit: "bits" or "nats", of the rates.
        betas: nats per unit of distortion; None: the tutorial's, `logspace(-2, 1, 30)`.

    Returns:
        A DataFrame: beta, rate_bits, distortion, closed_form_rate_bits, gap_nats and, with the tutorial's betas,
        printed_rate_bits and printed_distortion (NaN where nothing is printed). With "nats", `_nats` in place of `_bits`.

    Raises:
        ValueError: for another unit, or beta <= 0.
    """
    _check_unit(unit)
    tutorial = betas is None
    betas = np.logspace(-2, 1, 30) if tutorial else arguments.betas(betas)
    curve = rate_distortion_curve([0.8, 0.2], 1.0 - np.eye(2), betas, tolerance=1e-10)
    table = curve[["beta"]].assign(
        **{
            f"rate_{unit}": _to(unit, curve.rate_nats),
            "distortion": curve.distortion,
            f"closed_form_rate_{unit}": _to(unit, bernoulli_rate(curve.distortion, 0.2)),
            "gap_nats": curve.gap_nats,
        }
    )
    if tutorial:
        printed = np.full((2, len(betas)), np.nan)
        rates = np.array(PRINTED_BITS) * (1.0 if unit == "bits" else math.log(2.0))
        printed[:, ::5] = rates, PRINTED_DISTORTION
        table[f"printed_rate_{unit}"], table["printed_distortion"] = printed
    return table


def gaussian_demo(unit="bits", distortions=(0.25, 0.5, 0.1), variance=1.0, num_points=401):
    """Example 1: the Gaussian R(D) by Blahut-Arimoto on a grid, against 1/2 ln(variance / D).

    Source and reproductions are the same grid of 6 standard deviations to each side; the slope for D is -1 / (2 D).
    The grid's R(D) is not exactly the Gaussian's; both fall together while the grid's step is below sqrt(D), and a D that
    is too small for the grid is refused.

    Args:
        unit: "bits" or "nats", of the rates.
        distortions: mean squared errors, in (0, variance).
        num_points: of the grid.

    Returns:
        A DataFrame: beta, rate_bits, distortion (the grid's), closed_form_rate_bits (at that distortion), gap_nats. With
        "nats", `_nats` in place of `_bits`.

    Raises:
        ValueError: for another unit, distortions outside (0, variance) or below the grid's step squared.
    """
    _check_unit(unit)
    variance = arguments.number("variance", variance, "(0, inf)")
    distortions = np.atleast_1d(arguments.array("distortions", distortions, 0.0, "numbers > 0", strict=True))
    if not np.all(distortions < variance):
        raise ValueError(f"distortions must be below the variance {variance}, where the rate is 0, got {distortions.max()}.")
    grid, step = np.linspace(-6.0, 6.0, arguments.integer("num_points", num_points, 2), retstep=True)
    grid, least = grid * math.sqrt(variance), step**2 * variance
    if not np.all(distortions >= least):
        raise ValueError(
            f"distortions must be {least:.3g} or more, the square of the step of a grid of {num_points} points, got "
            f"{distortions.min():.3g}: raise num_points."
        )
    p = np.exp(-(grid**2) / (2 * variance))
    curve = rate_distortion_curve(p / p.sum(), (grid[:, None] - grid) ** 2, 1 / (2 * distortions))
    return curve[["beta"]].assign(
        **{
            f"rate_{unit}": _to(unit, curve.rate_nats),
            "distortion": curve.distortion,
            f"closed_form_rate_{unit}": _to(unit, gaussian_rate(curve.distortion, variance)),
            "gap_nats": curve.gap_nats,
        }
    )


class VaeLoss(NamedTuple):
    """The two parts of a VAE's loss, means over examples."""

    rate_nats: float  # KL(N(mean, exp(log_variance)) || N(0, I))
    distortion: float  # nats for the likelihoods; the sum of squared errors for "squared_error"
    loss: float  # distortion + beta * rate
    rate_distortion_beta: float  # of R + beta' D, which this loss is up to a factor: 1 / beta, for D as it is here
    squared_error_beta: float  # the same for D the sum of squared errors; NaN for "bernoulli"
    rate_bits: float


def vae_loss_split(x, output, mean, log_variance, distortion="bernoulli", beta=1.0, noise_variance=1.0, logits=False):
    """Demo 2: the rate and the distortion in a VAE's loss = distortion + beta * rate.

    The beta of beta-VAE weighs the rate, that of R + beta' D the distortion: beta' = 1 / beta for a negative log-likelihood.
    Under Gaussian noise the squared error has beta' = 1 / (2 noise_variance beta). The tutorial's loss is "squared_error":
    a Gaussian likelihood of variance 1/2 without its constant. Its example 2: 20 nats are 28.85 bits (it prints 28.8).

    Args:
        x: (n, ...) data. For "bernoulli" in [0, 1].
        output: what the decoder gives, of the shape of x: probabilities (or logits, with `logits=True`), or means.
        mean, log_variance: (n, d) of q(z|x).
        distortion: "bernoulli", "gaussian" (with its constant), or "squared_error".
        beta: the weight of the rate, > 0.
        noise_variance: of "gaussian", > 0.

    Returns:
        VaeLoss.

    Raises:
        ValueError: for shapes that differ, values out of range, or an unknown distortion.
    """
    names = ("x", "output", "mean", "log_variance")
    arrays = [
        arguments.array(n, v, -np.inf, "finite numbers", finite=True) for n, v in zip(names, (x, output, mean, log_variance))
    ]
    x, output, mean, log_variance = arrays
    for one, other, pair in ((x, output, "x and output"), (mean, log_variance, "mean and log_variance")):
        if one.shape != other.shape or one.ndim < 2 or len(one) != len(x) or not one.size:
            raise ValueError(f"{pair} must have the same shape, (n, ...) of one n, got {one.shape} and {other.shape}.")
    beta = arguments.beta(beta)
    noise_variance = arguments.number("noise_variance", noise_variance, "(0, inf)")
    arguments.flag("logits", logits)
    arguments.choice("distortion", distortion, ("bernoulli", "gaussian", "squared_error"))
    rate = float(np.mean(0.5 * np.sum(mean**2 + np.exp(log_variance) - 1.0 - log_variance, axis=1)))
    error = (x - output).reshape(len(x), -1) ** 2
    if distortion == "bernoulli":
        d, of_error = _cross_entropy(x, output, logits), math.nan
    elif distortion == "gaussian":
        d = (0.5 * error / noise_variance + 0.5 * math.log(2 * math.pi * noise_variance)).sum(axis=1)
        of_error = 1 / (2 * noise_variance * beta)
    else:
        d, of_error = error.sum(axis=1), 1 / beta
    d = float(np.mean(d))
    return VaeLoss(rate, d, d + beta * rate, 1 / beta, of_error, in_bits(rate))


def _cross_entropy(x, output, logits):
    """-log of the Bernoulli likelihood, (n,), for x in [0, 1]."""
    arguments.array("x", x, 0.0, "numbers in [0, 1]", highest=1.0)
    if logits:
        terms = np.logaddexp(0.0, output) - x * output
    else:
        arguments.array("output", output, 0.0, "probabilities in [0, 1] (pass logits=True for logits)", highest=1.0)
        with np.errstate(divide="ignore"):
            terms = -xlogy(x, output) - xlogy(1.0 - x, 1.0 - output)
    return terms.reshape(len(x), -1).sum(axis=1)


def posterior_collapse(betas_vae=(0.5, 1.0, 1.2, 1.5, 2.0, 3.0, 4.0), disagreement=0.1, variance=4.0, noise_variance=1.0):
    """Example 3: the exact optima of distortion + beta_vae * rate in three small cases, over encoders, prior and decoders.

    "linear": `linear_beta_vae`, x ~ N(0, variance). The rate falls to exactly 0 at beta_vae = variance / noise_variance.

    The other two explain a source of two bits: x1 a fair coin, x2 = x1 but for a probability of `disagreement`.

    "autoregressive": p(x1|z) p(x2|x1, z), any tables. H(X) - I(X;Z) <= distortion, so the loss is at least
    H(X) + (beta_vae - 1) rate. Without z the decoder has distortion H(X): for beta_vae >= 1 the optimum is a rate of 0
    and a negative ELBO of H(X). Below 1 it is rate H(X) and distortion 0. At 1 both, and all between, are optima; the row
    is the one of least rate.

    "factorized": p(x1|z) p(x2|z). A negative ELBO of H(X) needs x1 and x2 to be independent given z, and so a rate of
    Wyner's common information of the pair (`wyner_common_information`), which is at least I(X1;X2) and equals it, ln 2, if
    the bits always agree. That is the row of beta_vae = 1. Above 1 it is the root of an equation (`factorized_optimum`); the
    rate is 0 from beta_vae = 2 (1 - disagreement) on, 1 plus the correlation.

    Args:
        betas_vae: weights of the rate, > 0.
        disagreement: in [0, 1/2).
        variance, noise_variance: of the linear case, > 0.

    Returns:
        A DataFrame: decoder, beta_vae, rate_nats, distortion_nats, neg_elbo_nats (rate + distortion).

    Raises:
        ValueError: for arguments out of range.
    """
    betas_vae = arguments.betas(betas_vae)
    _check_disagreement(disagreement)
    entropy, rows = math.log(2.0) + binary_entropy(disagreement), []
    for beta in betas_vae:
        linear = linear_beta_vae(variance, noise_variance, float(beta))
        rows.append(["linear", beta, linear.rate_nats, linear.distortion_nats])
        rows.append(["autoregressive", beta, *((entropy, 0.0) if beta < 1 else (0.0, entropy))])
        rows.append(["factorized", beta, *factorized_optimum(float(beta), disagreement)])
    table = pd.DataFrame(rows, columns=["decoder", "beta_vae", "rate_nats", "distortion_nats"])
    table["neg_elbo_nats"] = table.rate_nats + table.distortion_nats
    return table.sort_values("decoder", kind="stable", ignore_index=True)


def wyner_common_information(disagreement):
    """Wyner's common information of two fair bits that disagree with probability a, in nats, for a in [0, 1/2).

    ln 2 + h(a) - 2 h(b), b = (1 - sqrt(1 - 2 a)) / 2. Wyner, "The common information of two dependent random variables",
    IEEE Trans. Inform. Theory 21 (1975): the least I(X1, X2; Z) of a Z given which they are independent.
    """
    _check_disagreement(disagreement)
    return math.log(2.0) + binary_entropy(disagreement) - 2 * binary_entropy(0.5 - 0.5 * math.sqrt(1 - 2 * disagreement))


def factorized_optimum(beta_vae, disagreement):
    """Rate and distortion, in nats, of the best VAE with decoder p(x1|z) p(x2|z) for the source of `posterior_collapse`.

    Below beta_vae = 1 the code is the source. From 1 on, z is a fair coin whose decoders give both bits the same probability,
    c or 1 - c (nothing else helps, which the tests check on a grid of pairs). The best encoder for such decoders and the best
    decoders for such an encoder meet where, with u = log((1 - c) / c) and a the disagreement,

        tanh(u / 2) = (1 - a) tanh(u / beta_vae),

    which has a solution u > 0 for beta_vae < 2 (1 - a) alone, 1 plus the correlation of the bits; from there on the rate is 0.

    Raises:
        ValueError: for a beta_vae that is not one positive number, or a disagreement out of its range.
    """
    _check_disagreement(disagreement)
    beta_vae = arguments.beta(beta_vae)
    if beta_vae < 1:
        return math.log(2.0) + binary_entropy(disagreement), 0.0

    def pull(u):
        return (1 - disagreement) * math.tanh(u / beta_vae) - math.tanh(u / 2)

    if pull(SMALLEST_LOGIT) <= 0:
        return 0.0, 2 * math.log(2.0)
    u = float(brentq(pull, SMALLEST_LOGIT, LARGEST_LOGIT, xtol=1e-14))
    rate = (1 - disagreement) * (math.log(2.0) - binary_entropy(expit(-2 * u / beta_vae)))
    return rate, 2 * binary_entropy(expit(-u))


def _check_disagreement(value):
    arguments.number("disagreement", value, "[0, 0.5)")


def _check_unit(unit):
    arguments.choice("unit", unit, ("bits", "nats"))


def _to(unit, nats):
    return in_bits(nats) if unit == "bits" else np.asarray(nats)
