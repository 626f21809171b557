"""Rate-distortion functions that have a formula: the yardsticks for everything numerical in this room.

Cover and Thomas, "Elements of Information Theory", 2nd edition, chapter 10: theorems 10.3.1 (binary source), 10.3.2
(Gaussian source) and 10.3.3 (reverse water-filling). Berger, "Rate Distortion Theory" (1971), section 4.3 (Laplace source).
Rates are nats; `in_bits` converts.
"""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd

from echo_tf import arguments


def in_bits(nats):
    """Nats in bits: nats / ln 2, for a number, an array, or the columns of a DataFrame whose names end with `_nats`.

    A DataFrame's other columns stay as they are, `beta` among them: it is the slope in nats per unit of distortion. What was
    called `rate_nats` is called `rate_bits`.

    Raises:
        ValueError: for what holds no numbers, or a DataFrame without a column in nats.

    >>> print(f"{in_bits(20):.2f}")
    28.85
    """
    if isinstance(nats, pd.DataFrame):
        columns = [name for name in nats if str(name).endswith("_nats")]
        if not columns:
            raise ValueError(f"the columns in nats must be called '…_nats', got {', '.join(map(str, nats))}.")
        bits = nats.assign(**{name: nats[name] / math.log(2.0) for name in columns})
        return bits.rename(columns={name: f"{name.removesuffix('_nats')}_bits" for name in columns})
    return number_or_array(arguments.numeric("nats", nats) / math.log(2.0))


def binary_entropy(p):
    """The entropy h(p) = -p ln p - (1 - p) ln (1 - p) of a coin, in nats, for p in [0, 1], a number or an array.

    Raises:
        ValueError: if some of p is outside [0, 1].

    >>> print(f"{binary_entropy(0.5):.6f}")
    0.693147
    """
    p = arguments.array("p", p, 0.0, "probabilities in [0, 1]", highest=1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = [np.where(part > 0, -part * np.log(part), 0.0) for part in (p, 1.0 - p)]
    return number_or_array(terms[0] + terms[1])


def gaussian_rate(distortion, variance=1.0):
    """R(D) of a Gaussian source under squared error: max(0, 1/2 ln(variance / D)), in nats.

    Args:
        distortion: mean squared error, a number or an array, >= 0; 0 gives an infinite rate.
        variance: of the source, > 0, broadcast against `distortion`.

    Raises:
        ValueError: for a negative distortion or a variance that is not positive.

    Example: example 1 of the tutorial, a quarter of the variance for one bit.

    >>> print(f"{in_bits(gaussian_rate(0.25)):.6f}")
    1.000000
    """
    distortion = arguments.array("distortion", distortion, 0.0, "numbers >= 0")
    variance = arguments.array("variance", variance, 0.0, "positive finite numbers", strict=True, finite=True)
    with np.errstate(divide="ignore"):
        return number_or_array(np.maximum(0.0, 0.5 * (np.log(variance) - np.log(distortion))))


def bernoulli_rate(distortion, p=0.5):
    """R(D) of a coin under Hamming distortion: h(p) - h(D) for D < min(p, 1 - p), else 0, in nats.

    Args:
        distortion: the probability that a symbol is wrong, a number or an array, >= 0.
        p: the probability of one of the two symbols, in [0, 1].

    Raises:
        ValueError: for a negative distortion or p outside [0, 1].
    """
    distortion = arguments.array("distortion", distortion, 0.0, "numbers >= 0")
    p = arguments.array("p", p, 0.0, "probabilities in [0, 1]", highest=1.0)
    rarer = np.minimum(p, 1.0 - p)
    return number_or_array(np.maximum(0.0, binary_entropy(rarer) - binary_entropy(np.minimum(distortion, rarer))))


def laplace_rate(distortion, scale=1.0):
    """R(D) of a Laplace source of density exp(-|x| / b) / (2 b) under absolute error: max(0, ln(b / D)), in nats.

    Args:
        distortion: mean absolute error, a number or an array, >= 0.
        scale: b, > 0, which is the mean of |x|.

    Raises:
        ValueError: for a negative distortion or a scale that is not positive.
    """
    distortion = arguments.array("distortion", distortion, 0.0, "numbers >= 0")
    scale = arguments.array("scale", scale, 0.0, "positive finite numbers", strict=True, finite=True)
    with np.errstate(divide="ignore"):
        return number_or_array(np.maximum(0.0, np.log(scale) - np.log(distortion)))


class WaterFilling(NamedTuple):
    """R(D) of independent Gaussians, and how the distortion is shared out."""

    rate: float  # nats, of all components together
    distortions: np.ndarray  # squared error of each component, min(variance, level); they add up to the total
    level: float  # the water level: components of a smaller variance are not coded


def reverse_water_filling(variances, distortion):
    """R(D) of independent Gaussian components under squared error summed over them (theorem 10.3.3).

    Exact: the level is found by sorting the variances, not by a search. The slope dR/dD is -1 / (2 level).

    Args:
        variances: (d,) of the components, >= 0; those of variance 0 take no distortion and no rate.
        distortion: the total over the components, >= 0. Beyond the total variance the rate is 0.

    Returns:
        WaterFilling(rate, distortions, level).

    Raises:
        ValueError: for negative, infinite or missing variances, or a negative distortion.

    >>> print("rate={:.4f} distortions={} level={}".format(*reverse_water_filling([4.0, 1.0, 0.25], 1.25)))
    rate=1.3863 distortions=[0.5  0.5  0.25] level=0.5
    """
    variances = arguments.array("variances", variances, 0.0, "finite numbers >= 0", finite=True)
    if variances.ndim != 1 or not variances.size:
        raise ValueError(f"variances must be of the shape (d,), a number a component, got the shape {variances.shape}.")
    distortion = arguments.array("distortion", distortion, 0.0, "one number >= 0, the total over the components")
    if distortion.ndim:
        raise ValueError(f"distortion must be one number, the total over the components, got the shape {distortion.shape}.")
    ascending = np.sort(variances)
    drowned = np.concatenate([[0.0], np.cumsum(ascending)[:-1]])  # what components 0 .. k - 1 take if they are not coded
    if distortion >= drowned[-1] + ascending[-1]:  # the same sum as below, or rounding could leave no level that fits
        return WaterFilling(0.0, variances.copy(), float(ascending[-1]))
    levels = (distortion - drowned) / np.arange(len(ascending), 0, -1)
    fits = levels <= ascending
    fits[-1] = True
    level = min(max(float(levels[np.argmax(fits)]), 0.0), float(ascending[-1]))
    coded = variances[variances > level]
    rate = 0.5 * float(np.sum(np.log(coded) - math.log(level))) if level > 0 else math.inf
    return WaterFilling(rate, np.minimum(variances, level), level)


class LinearBetaVae(NamedTuple):
    """The optimum of the one-dimensional linear beta-VAE."""

    weight: float  # w of the decoder N(w z, noise_variance), >= 0; -w is as good
    encoder_gain: float  # a of the encoder N(a x, encoder_variance)
    encoder_variance: float
    rate_nats: float  # KL from the prior, mean over x
    distortion_nats: float  # -log p(x | z) with its constant
    squared_error: float
    rate_distortion_beta: float  # -dR/dD against squared error: 1 / (2 noise_variance beta)


def linear_beta_vae(variance, noise_variance, beta):
    """The optimum of the linear beta-VAE x ~ N(0, v), p(x|z) = N(w z, s), z ~ N(0, 1), loss distortion + beta * rate.

    For a given w the encoder that is best is N(a x, t) with a = w / (w² + beta s) and t = beta s / (w² + beta s), and the
    loss is beta/2 * (v / T + ln(T / (beta s))) plus a constant, with T = w² + beta s. So T = v, that is w² = v - beta s,
    if this is positive; else w = 0 and the rate is exactly 0: posterior collapse, from beta >= v / s on. Before that the
    squared error is beta s and the rate 1/2 ln(v / (beta s)): the point of the Gaussian R(D) whose slope is
    -1 / (2 beta s). This is Lucas et al., "Don't Blame the ELBO!", NeurIPS 2019, in one dimension and with beta.

    Args:
        variance: v of the data, > 0.
        noise_variance: s of the decoder, fixed, > 0.
        beta: the weight of the rate in the loss (of beta-VAE; the inverse of rate-distortion's), > 0.

    Returns:
        LinearBetaVae.

    Raises:
        ValueError: for an argument that is not a positive finite number.

    >>> linear_beta_vae(4.0, 1.0, 4.0).rate_nats
    0.0
    """
    for name, value in (("variance", variance), ("noise_variance", noise_variance), ("beta", beta)):
        arguments.number(name, value, "(0, inf)")
    variance, lost = float(variance), float(beta * noise_variance)  # lost: the squared error, if that is below the variance
    weight = math.sqrt(max(0.0, variance - lost))
    squared_error = min(lost, variance)
    log_ratio = math.log(variance) - math.log(beta) - math.log(noise_variance)  # where lost over- or underflows, too
    return LinearBetaVae(
        weight=weight,
        encoder_gain=weight / variance,
        encoder_variance=min(1.0, lost / variance),
        rate_nats=0.5 * log_ratio if lost < variance else 0.0,
        distortion_nats=squared_error / (2 * noise_variance) + 0.5 * math.log(2 * math.pi * noise_variance),
        squared_error=squared_error,
        rate_distortion_beta=0.5 / noise_variance / beta,
    )


def number_or_array(values):
    """A Python float of an array without dimensions; any other array as it is."""
    return float(values) if np.ndim(values) == 0 else values
