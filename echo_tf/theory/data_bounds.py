"""Bounds of R(D) of real data under squared error, from both sides.

The source is either the n examples themselves (each of probability 1 / n) or the population that they are drawn from. At
slope -beta, R(D) is the minimum over output marginals q of

    F(q) = mean_i -log Z_i,   Z_i = E_q exp(-beta |x_i - y|²),   which is rate + beta * distortion.

Upper bounds: any q. Here q is a codebook (its points fixed), a set of particles (its points move) or a mixture of Gaussians.
Each q is valued at every beta, and at each the one that is best for the examples is kept: F is then a minimum of concave
functions, and distortion falls with beta. A q fitted to, and chosen on, other examples bounds the population's R(D): the mean
over test examples is an unbiased estimate.
Lower bounds: F(q) - log sup_y c(y), c(y) = mean_i exp(-beta |x_i - y|²) / Z_i, for the examples as the source.

Yang, Eckstein, Nutz and Mandt, "Estimating the rate-distortion function by Wasserstein gradient descent", NeurIPS 2023;
Yang and Mandt, "Towards empirical sandwich bounds on the rate-distortion function", ICLR 2022.

Distortions are summed squared errors of one example (`_sse`), rates nats for one example.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from echo_tf import arguments
from echo_tf.theory.blahut_arimoto import blahut_arimoto
from echo_tf.theory.distances import blocks, centred_distances, exponentiate, no_check, squared_distances
from echo_tf.theory.linear_vae import basis_of, gaussian_mixture_bound, gaussian_terms

NAMES = ["rate_nats", "distortion_sse", "rate_plus_beta_distortion_nats"]
SMALLEST_WEIGHT = 1e-30
USED = 1e-6  # mass from which a point is moved along
OF_EXAMPLES = ", the number of examples"


class Particles(NamedTuple):
    """A marginal of finitely many points."""

    positions: np.ndarray  # (N, d)
    weights: np.ndarray  # (N,)
    objective_nats: np.ndarray  # F before each step, (steps,): it never rises but by rounding


class GaussianMixture(NamedTuple):
    """A marginal sum_k weights_k N(means_k, factors_k factors_k')."""

    weights: np.ndarray  # (K,)
    means: np.ndarray  # (K, d)
    factors: np.ndarray  # (K, d, r)


def fit_particles(examples, beta, positions, weights=None, steps=100, tolerance=1e-5, check=no_check):
    """Moves points, and their weights, down F: each step is y_m <- sum_i r_im x_i / sum_i r_im, w_m <- mean_i r_im.

    r_im is the share of particle m in Z_i. This is gradient descent in the Wasserstein metric with the step size that
    makes it expectation-maximisation for a mixture of Gaussians of variance 1 / (2 beta): F never rises. It finds a local
    minimum. Steps are taken in float32.

    Args:
        examples: (n, ...) the source.
        beta: nats per unit of squared error, > 0.
        positions: (N, ...) where the particles start.
        weights: (N,) their weights; None: equal.
        steps: the most steps.
        tolerance: nats; stops when a step lowers F by less.
        check: is called before each step, and may raise.

    Returns:
        Particles.

    Raises:
        ValueError: for shapes that do not fit, examples that are not finite, a beta that is not one positive number.
    """
    x, beta = arguments.matrix("examples", examples), arguments.beta(beta)
    centre = x.mean(axis=0)  # near the data's middle little is cancelled in |x|² - 2 x y + |y|²
    y = (arguments.matrix("positions", positions, x.shape[1]) - centre).astype(np.float32)
    w = np.full(len(y), 1 / len(y)) if weights is None else arguments.numeric("weights", weights)
    if w.shape != (len(y),) or not np.all(w >= 0) or not 0 < w.sum() < np.inf:
        raise ValueError(f"weights must be {len(y)} finite numbers >= 0 that are not all 0, one a particle, got {w}.")
    steps, tolerance = _limits(steps, tolerance)
    x = (x - centre).astype(np.float32)
    history = []
    for _ in range(steps):
        check()
        total, pulled, log_z = np.zeros(len(y)), np.zeros(y.shape), np.empty(len(x))
        log_w = np.log(np.maximum(w / w.sum(), SMALLEST_WEIGHT)).astype(np.float32)
        for rows in blocks(len(x), len(y)):
            share = log_w - np.float32(beta) * squared_distances(x[rows], y)
            log_z[rows] = exponentiate(share)
            share /= share.sum(axis=1, keepdims=True)
            total += share.sum(axis=0)
            pulled += share.T @ x[rows]
        history.append(-log_z.mean())
        if len(history) > 1 and history[-2] - history[-1] < tolerance:
            break
        w = total / len(x)
        y = np.where(total[:, None] > SMALLEST_WEIGHT, pulled / np.maximum(total, SMALLEST_WEIGHT)[:, None], y)
        y = y.astype(np.float32)
    return Particles(y + centre, w / w.sum(), np.array(history))


def particle_bound(examples, betas, num_particles, steps=100, seed=0, test_examples=None, order="falling", check=no_check):
    """An upper bound of R(D) by particles that move, each beta's started where its neighbour's ended.

    At each beta, the particles of all betas are valued and the best for `examples` kept: what was found for one beta is a
    marginal for every other too.

    Args:
        examples: (n, ...) the source.
        betas: > 0, nats per unit of squared error, in any order.
        num_particles: at most n. The rate that they can reach is log num_particles.
        steps: the most steps for each beta.
        seed: of the start (examples drawn without replacement) and of the perturbations.
        test_examples: (n', ...): rate and distortion of these with the particles as fixed marginal are given too.
        order: "falling" (from the largest beta down; particles merge) or "rising" (from the smallest up; particles that
            have merged are parted by a small perturbation). On MNIST falling was lower at every beta: see the README.

    Returns:
        A DataFrame, a row a beta in the order given: beta, rate_nats, distortion_sse, rate_plus_beta_distortion_nats, and
        the last three with `test_` before them.

    Raises:
        ValueError: as `fit_particles`; for an unknown order, or more particles than examples.
    """
    x, betas, rng = arguments.matrix("examples", examples), arguments.betas(betas), np.random.default_rng(seed)
    arguments.choice("order", order, ("falling", "rising"))
    num_particles = arguments.integer("num_particles", num_particles, 1, len(x), OF_EXAMPLES)
    fitted, y, w = [None] * len(betas), x[rng.permutation(len(x))[:num_particles]], None
    for i in np.argsort(-betas if order == "falling" else betas, kind="stable"):
        y = y if order == "falling" else y + 0.01 * x.std() * rng.normal(size=y.shape)
        fitted[i] = fit_particles(x, betas[i], y, w, steps, check=check)
        y, w = fitted[i].positions, 0.9 * fitted[i].weights + 0.1 / len(y)
    return _table(betas, x, test_examples, fitted, lambda q, data: _of_points(data, *q[:2], betas), check)


def codebook_bound(examples, codebook, betas, test_examples=None, tolerance=1e-6, check=no_check):
    """An upper bound of R(D) by points that stay, their weights those of Blahut-Arimoto: the best on this codebook.

    Args:
        codebook: (N, ...), for example some of the examples, or centres of k-means.
        examples, betas, test_examples: as of `particle_bound`.
        tolerance: nats, of Blahut-Arimoto.

    Returns:
        A DataFrame with the columns of `particle_bound`.

    Raises:
        ValueError: for shapes that do not fit, values that are not finite, beta <= 0.
    """
    x, betas = arguments.matrix("examples", examples), arguments.betas(betas)
    y = arguments.matrix("codebook", codebook, x.shape[1])
    distances, p = centred_distances(x, y), np.full(len(x), 1 / len(x))
    weights = []
    for beta in betas:
        check()
        weights.append(blahut_arimoto(p, distances, beta, tolerance=tolerance).marginal)
    return _table(betas, x, test_examples, weights, lambda w, data: _of_points(data, y, w, betas), check)


def fit_gaussian_mixture(
    examples, num_components, beta, steps=50, num_directions=100, start=None, seed=0, tolerance=1e-3, check=no_check
):
    """A mixture of Gaussians as the marginal, fitted to F itself by expectation-maximisation.

    Convolved with exp(-beta |x - y|²) it is, up to a constant, a mixture of Gaussians of covariances S + I / (2 beta), and
    F its negative log-likelihood: the best covariances are those of the assigned examples, their eigenvalues lowered by
    1 / (2 beta) and not below 0. That is reverse water-filling in each component. F never rises.

    Args:
        examples: (n, ...).
        num_components: K.
        beta: nats per unit of squared error, > 0.
        steps: the most steps.
        num_directions: the components differ, and have variance, in this many principal directions of the examples.
        start: a GaussianMixture to start from, of the same K; None: means at random examples, covariances of all.
        seed: of the start.
        tolerance: nats; stops when a step lowers F by less.

    Returns:
        GaussianMixture of factors (K, d, num_directions).

    Raises:
        ValueError: for more components than examples, a start of another K, a beta that is not one positive number, examples
            that are not finite.
    """
    x, beta = arguments.matrix("examples", examples), arguments.beta(beta)
    centre, k = x.mean(axis=0), arguments.integer("num_components", num_components, 1, len(x), OF_EXAMPLES)
    steps, tolerance = _limits(steps, tolerance)
    num_directions = arguments.integer("num_directions", num_directions)
    axes = np.linalg.eigh(np.cov(x.T, bias=True).reshape(x.shape[1], -1))[1][:, ::-1][:, :num_directions]
    t = (x - centre) @ axes
    if start is None:
        weights, means = np.full(k, 1 / k), t[np.random.default_rng(seed).permutation(len(t))[:k]]
        bases = [_clipped(np.cov(t.T, bias=True).reshape(t.shape[1], -1), beta)] * k
    else:
        if not isinstance(start, GaussianMixture) or len(start.weights) != k:
            got = f"one of {len(start.weights)}" if isinstance(start, GaussianMixture) else repr(start)
            raise ValueError(f"start must be a GaussianMixture of num_components = {k}, got {got}.")
        weights, means = start.weights, (start.means - centre) @ axes
        bases = [basis_of(axes.T @ f, True) for f in start.factors]
    last = np.inf
    for _ in range(steps):
        check()
        terms = np.stack([gaussian_terms(t, m, basis, np.array([beta]))[0][0] for m, basis in zip(means, bases)], axis=1)
        terms += np.log(np.maximum(weights, SMALLEST_WEIGHT))
        log_z = exponentiate(terms)
        objective = -log_z.mean()
        if last - objective < tolerance:
            break
        last = objective
        terms /= terms.sum(axis=1, keepdims=True)
        total = np.maximum(terms.sum(axis=0), SMALLEST_WEIGHT)
        weights, means = total / total.sum(), (terms.T @ t) / total[:, None]
        weighted = [(t - means[j]) * np.sqrt(terms[:, j, None] / total[j]) for j in range(k)]
        bases = [_clipped(part.T @ part, beta) for part in weighted]
    factors = np.zeros((k, x.shape[1], axes.shape[1]))
    for j, (vectors, values) in enumerate(bases):
        factors[j, :, : len(values)] = axes @ (vectors * np.sqrt(values))
    return GaussianMixture(weights, means @ axes.T + centre, factors)


def fitted_mixture_bound(
    examples, betas, num_components, test_examples=None, steps=50, num_directions=100, seed=0, check=no_check
):
    """An upper bound of R(D) by mixtures of Gaussians fitted at each beta, which no number of points limits.

    Args:
        examples, betas, test_examples: as of `particle_bound`; the mixtures are fitted to `examples`.
        num_components, steps, num_directions, seed: as of `fit_gaussian_mixture`. From the largest beta down, each fit
            starts where the last ended.

    Returns:
        A DataFrame with the columns of `particle_bound`.

    Raises:
        ValueError: as `fit_gaussian_mixture`.
    """
    x, betas = arguments.matrix("examples", examples), arguments.betas(betas)
    fitted, start = [None] * len(betas), None
    for i in np.argsort(-betas, kind="stable"):
        start = fitted[i] = fit_gaussian_mixture(x, num_components, betas[i], steps, num_directions, start, seed, check=check)

    def value(q, data):
        return gaussian_mixture_bound(q.weights, q.means, q.factors, data, betas, factors=True)[NAMES].to_numpy().T

    return _table(betas, x, test_examples, fitted, value, check)


def _limits(steps, tolerance):
    return arguments.integer("steps", steps), arguments.number("tolerance", tolerance, "(-inf, inf)")


def _of_points(x, positions, weights, betas):
    """Rate, distortion and their sum at each beta, (3, num_betas), for points as the marginal, in float64."""
    log_w, centre = np.log(np.maximum(weights, SMALLEST_WEIGHT)), x.mean(axis=0)
    log_z, mean = np.empty((len(betas), len(x))), np.empty((len(betas), len(x)))
    for rows in blocks(len(x), len(positions)):
        distances = squared_distances(x[rows] - centre, positions - centre)
        for i, beta in enumerate(betas):
            share = log_w - beta * distances
            log_z[i, rows] = exponentiate(share)
            mean[i, rows] = np.einsum("ij,ij->i", share, distances) / share.sum(axis=1)
    f, d = 0.0 - log_z.mean(axis=1), mean.mean(axis=1)
    return np.stack([np.maximum(0.0, f - betas * d), d, f])


def _clipped(covariance, beta):
    values, vectors = np.linalg.eigh(covariance)
    keep = values > 1 / (2 * beta)
    return vectors[:, keep], values[keep] - 1 / (2 * beta)


def _table(betas, x, test_examples, marginals, value, check):
    """A row a beta: rate, distortion and their sum for the marginal that has the least sum for x, of x and of test examples.

    `value(marginal, data)` gives all three at each beta, (3, num_betas).
    """
    test = None if test_examples is None else arguments.matrix("test_examples", test_examples, x.shape[1])
    columns, best = {"beta": betas}, None
    for prefix, data in (("", x), ("test_", test)):
        if data is not None:
            found = []
            for marginal in marginals:
                check()
                found.append(value(marginal, data))
            found = np.stack(found, axis=1)  # (3, marginals, num_betas)
            best = found[2].argmin(axis=0) if best is None else best  # of x: never chosen on what it is tested on
            columns.update(zip([prefix + name for name in NAMES], found[:, best, np.arange(len(betas))]))
    return pd.DataFrame(columns)
