"""Bounds of R(D) of real data under squared error, from both sides.

The source is either the n examples themselves (each of probability 1 / n) or the population that they are drawn from. At
slope -beta, R(D) is the minimum over output marginals q of

    F(q) = mean_i -log Z_i,   Z_i = E_q exp(-beta |x_i - y|²),   which is rate + beta * distortion.

Upper bounds: any q. Here q is a codebook (its points fixed), a set of particles (its points move) or a mixture of Gaussians.
A q that was fitted to other examples bounds the population's R(D): the mean over test examples is an unbiased estimate.
Lower bounds: F(q) - log sup_y c(y), c(y) = mean_i exp(-beta |x_i - y|²) / Z_i, for the examples as the source.

Yang, Eckstein, Nutz and Mandt, "Estimating the rate-distortion function by Wasserstein gradient descent", NeurIPS 2023;
Yang and Mandt, "Towards empirical sandwich bounds on the rate-distortion function", ICLR 2022.

Distortions are summed squared errors of one example (`_sse`), rates nats for one example.
"""

import warnings
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import logsumexp

from echo_tf.theory.blahut_arimoto import blahut_arimoto
from echo_tf.theory.closed_forms import checked_array, checked_betas, checked_integer, checked_matrix
from echo_tf.theory.linear_vae import basis_of, gaussian_mixture_bound, gaussian_terms

BLOCK = 2_000_000  # numbers in a block of distances
NAMES = ["rate_nats", "distortion_sse", "rate_plus_beta_distortion_nats"]
SMALLEST_WEIGHT = 1e-30
USED = 1e-6  # mass from which a point is moved along
MOST = 400  # maxima followed to the end
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


def fit_particles(examples, beta, positions, weights=None, steps=100, tolerance=1e-5):
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

    Returns:
        Particles.

    Raises:
        ValueError: for shapes that do not fit, examples that are not finite, beta <= 0.
    """
    x, beta = checked_matrix("examples", examples), float(checked_betas(beta)[0])
    centre = x.mean(axis=0)  # near the data's middle little is cancelled in |x|² - 2 x y + |y|²
    y = (checked_matrix("positions", positions, x.shape[1]) - centre).astype(np.float32)
    w = np.full(len(y), 1 / len(y)) if weights is None else np.asarray(weights, np.float64)
    if w.shape != (len(y),) or not np.all(w >= 0) or not w.sum() > 0:
        raise ValueError(f"weights must be {len(y)} numbers >= 0, one a particle, got the shape {w.shape}.")
    x = (x - centre).astype(np.float32)
    history = []
    for _ in range(steps):
        total, pulled, log_z = np.zeros(len(y)), np.zeros(y.shape), np.empty(len(x))
        log_w = np.log(np.maximum(w / w.sum(), SMALLEST_WEIGHT)).astype(np.float32)
        for rows in _blocks(len(x), len(y)):
            share = log_w - np.float32(beta) * _distances(x[rows], y)
            log_z[rows] = _exponentiate(share)
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


def particle_bound(examples, betas, num_particles, steps=100, seed=0, test_examples=None, order="falling"):
    """An upper bound of R(D) by particles that move, each beta's started where its neighbour's ended.

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
    x, betas, rng = checked_matrix("examples", examples), checked_betas(betas), np.random.default_rng(seed)
    if order not in ("falling", "rising"):
        raise ValueError(f"order must be 'falling' or 'rising', got {order!r}.")
    num_particles = checked_integer("num_particles", num_particles, len(x), OF_EXAMPLES)
    fitted, y, w = [None] * len(betas), x[rng.permutation(len(x))[:num_particles]], None
    for i in np.argsort(-betas if order == "falling" else betas, kind="stable"):
        y = y if order == "falling" else y + 0.01 * x.std() * rng.normal(size=y.shape)
        fitted[i] = fit_particles(x, betas[i], y, w, steps)
        y, w = fitted[i].positions, 0.9 * fitted[i].weights + 0.1 / len(y)
    return _table(betas, x, test_examples, lambda i, data: _of_points(data, *fitted[i][:2], betas[i]))


def codebook_bound(examples, codebook, betas, test_examples=None, tolerance=1e-6):
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
    x, betas = checked_matrix("examples", examples), checked_betas(betas)
    y = checked_matrix("codebook", codebook, x.shape[1])
    distances, p = _all_distances(x, y), np.full(len(x), 1 / len(x))
    weights = [blahut_arimoto(p, distances, beta, tolerance=tolerance).marginal for beta in betas]
    return _table(betas, x, test_examples, lambda i, data: _of_points(data, y, weights[i], betas[i]))


def fit_gaussian_mixture(examples, num_components, beta, steps=50, num_directions=100, start=None, seed=0, tolerance=1e-3):
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
        ValueError: for more components than examples, beta <= 0, examples that are not finite.
    """
    x, beta = checked_matrix("examples", examples), float(checked_betas(beta)[0])
    centre, k = x.mean(axis=0), checked_integer("num_components", num_components, len(x), OF_EXAMPLES)
    axes = np.linalg.eigh(np.cov(x.T, bias=True).reshape(x.shape[1], -1))[1][:, ::-1][:, :num_directions]
    t = (x - centre) @ axes
    if start is None:
        weights, means = np.full(k, 1 / k), t[np.random.default_rng(seed).permutation(len(t))[:k]]
        bases = [_clipped(np.cov(t.T, bias=True).reshape(t.shape[1], -1), beta)] * k
    else:
        weights, means = start.weights, (start.means - centre) @ axes
        bases = [basis_of(axes.T @ f, True) for f in start.factors]
    last = np.inf
    for _ in range(steps):
        terms = np.stack([gaussian_terms(t, m, basis, np.array([beta]))[0][0] for m, basis in zip(means, bases)], axis=1)
        terms += np.log(np.maximum(weights, SMALLEST_WEIGHT))
        log_z = _exponentiate(terms)
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


def fitted_mixture_bound(examples, betas, num_components, test_examples=None, steps=50, num_directions=100, seed=0):
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
    x, betas = checked_matrix("examples", examples), checked_betas(betas)
    fitted, start = [None] * len(betas), None
    for i in np.argsort(-betas, kind="stable"):
        start = fitted[i] = fit_gaussian_mixture(x, num_components, betas[i], steps, num_directions, start, seed)

    def point(i, data):
        row = gaussian_mixture_bound(fitted[i].weights, fitted[i].means, fitted[i].factors, data, betas[i], factors=True)
        return row.loc[0, NAMES].tolist()

    return _table(betas, x, test_examples, point)


def lower_bound(examples, betas, points=None, rounds=3, ascent_steps=40, tolerance=1e-3):
    """Both bounds of the least rate + beta * distortion of the examples, as the source; numerical, not a proof.

    The marginal is that of Blahut-Arimoto over the examples, `points`, and what is added `rounds` times: the points in use,
    moved by `fit_particles`, and the highest maxima of c that are quickly found. The lower bound F(q) - log sup_y c(y) needs
    the supremum over all of space. c is a sum of Gaussian bumps, and its maxima are sought by mean-shift from every example
    and every point; one that is missed would make the bound too high. It is a certificate to that extent alone.

    In expectation over the sample, the least rate + beta * distortion of n examples lies below the population's (a minimum
    of means against a mean's minimum). So this bounds the population's too, in expectation, and is weak where the
    population's rate nears log n, which a sample's never exceeds.

    Args:
        examples: (n, ...), some thousands at most: the distances among all are held.
        betas: > 0, nats per unit of squared error.
        points: (N, ...) more candidates, for example the positions of particles.
        rounds: how often points are added. More tighten both bounds.
        ascent_steps: steps of mean-shift, the lower half of the starts being given up after each quarter of them.
        tolerance: nats, of Blahut-Arimoto.

    Returns:
        A DataFrame: beta, upper_rate_plus_beta_distortion_nats, lower_rate_plus_beta_distortion_nats, log_sup_c_nats,
        rate_nats, distortion_sse (of the upper bound).

    Raises:
        ValueError: for shapes that do not fit, values that are not finite, beta <= 0.
    """
    x, betas = checked_matrix("examples", examples), checked_betas(betas)
    centre = x.mean(axis=0)
    x = x - centre
    start = x if points is None else np.concatenate([x, checked_matrix("points", points, x.shape[1]) - centre])
    start = np.concatenate([start, np.zeros((1, x.shape[1]))])  # the mean, which is all that low rates need
    rows = [_sandwich(x, beta, start, rounds, ascent_steps, tolerance) for beta in betas]
    names = ["upper_rate_plus_beta_distortion_nats", "lower_rate_plus_beta_distortion_nats", "log_sup_c_nats", *NAMES[:2]]
    return pd.DataFrame(rows, columns=names).assign(beta=betas)[["beta", *names]]


def lower_envelope(table, distortions):
    """R_lower(D) = max(0, max over beta of (F_lower(beta) - beta D)), from the table of `lower_bound`.

    Returns:
        A DataFrame: distortion_sse, lower_rate_nats.

    Raises:
        ValueError: for a negative distortion.
    """
    distortions = np.atleast_1d(checked_array("distortions", distortions, 0.0, "numbers >= 0"))
    lines = table["lower_rate_plus_beta_distortion_nats"].to_numpy()[:, None] - np.outer(table["beta"], distortions)
    return pd.DataFrame({"distortion_sse": distortions, "lower_rate_nats": np.maximum(0.0, lines.max(axis=0))})


def _sandwich(x, beta, fixed, rounds, ascent_steps, tolerance):
    """A row of `lower_bound`: the points used, moved, and maxima of c join the `fixed` ones; the last search is full."""
    p, best, candidates = np.full(len(x), 1 / len(x)), None, fixed
    for left in range(rounds, -1, -1):
        distances = _all_distances(x, candidates)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a gap above the tolerance is counted in the bound
            point = blahut_arimoto(p, distances, beta, tolerance=tolerance, max_iterations=500)
        log_z = logsumexp(np.log(point.marginal) - beta * distances, axis=1)
        if best is None or point.rate_plus_beta_distortion < best.rate_plus_beta_distortion:
            best = point
        if not left:
            break
        log_c = logsumexp(-log_z[:, None] - beta * distances, axis=0)
        maxima, heights = _maxima(x, log_z, beta, candidates[np.argsort(-log_c)[:MOST]], ascent_steps)
        used = point.marginal > USED
        moved = fit_particles(x, beta, candidates[used], point.marginal[used], steps=20).positions
        candidates = np.concatenate([fixed, moved, maxima[heights > 0]])
    log_sup = max(point.gap, float(_maxima(x, log_z, beta, candidates, ascent_steps)[1][0]))
    lower = point.rate_plus_beta_distortion - log_sup
    return [best.rate_plus_beta_distortion, lower, log_sup, best.rate, best.distortion]


def _maxima(x, log_z, beta, starts, steps):
    """Maxima of c by mean-shift, the highest first, without those that are close to a higher one; and log c there."""
    x32, y = x.astype(np.float32), np.asarray(starts, np.float32)
    quarter = max(1, steps // 4)
    for step in range(steps):
        log_c, pulled = np.empty(len(y)), np.empty_like(y)
        for rows in _blocks(len(y), len(x)):
            share = -log_z.astype(np.float32) - np.float32(beta) * _distances(y[rows], x32)
            log_c[rows] = _exponentiate(share)
            pulled[rows] = (share @ x32) / share.sum(axis=1, keepdims=True)
        y = pulled
        if step % quarter == quarter - 1 and len(y) > MOST:
            y = y[np.argsort(-log_c)[: max(len(y) // 2, MOST)]]
    y = np.asarray(y, np.float64)
    log_c = logsumexp(-log_z - beta * _all_distances(y, x), axis=1) - np.log(len(x))
    order = np.argsort(-log_c)[:MOST]
    near = beta * _all_distances(y[order], y[order]) < 1e-3
    apart = ~np.tril(near, -1).any(axis=1)
    return y[order[apart]][: MOST // 2], log_c[order[apart]][: MOST // 2]


def _blocks(rows, columns):
    step = max(1, BLOCK // columns)
    return [slice(i, min(i + step, rows)) for i in range(0, rows, step)]


def _distances(x, y):
    """|x_i - y_j|², (n, N), by expansion."""
    d = x @ y.T
    d *= -2
    d += np.einsum("ij,ij->i", x, x)[:, None]
    d += np.einsum("ij,ij->i", y, y)
    return np.maximum(d, 0, out=d)


def _all_distances(x, y):
    centre = x.mean(axis=0)
    return _distances(x - centre, y - centre)


def _exponentiate(logs):
    """exp(logs - the row's largest), in place, and the log of the sum of exp(logs) of each row."""
    top = logs.max(axis=1, keepdims=True)
    logs -= top
    np.exp(logs, out=logs)
    return np.log(logs.sum(axis=1, dtype=np.float64)) + top[:, 0]


def _of_points(x, positions, weights, beta):
    """Rate, distortion and their sum, for points as the marginal, in float64."""
    log_w, centre = np.log(np.maximum(weights, SMALLEST_WEIGHT)), x.mean(axis=0)
    log_z, mean = np.empty(len(x)), np.empty(len(x))
    for rows in _blocks(len(x), len(positions)):
        distances = _distances(x[rows] - centre, positions - centre)
        share = log_w - beta * distances
        log_z[rows] = _exponentiate(share)
        mean[rows] = np.einsum("ij,ij->i", share, distances) / share.sum(axis=1)
    return _point(log_z, mean, beta)


def _point(log_z, distortion, beta):
    f, d = -log_z.mean(), distortion.mean()
    return [max(0.0, f - beta * d), d, f]


def _clipped(covariance, beta):
    values, vectors = np.linalg.eigh(covariance)
    keep = values > 1 / (2 * beta)
    return vectors[:, keep], values[keep] - 1 / (2 * beta)


def _table(betas, x, test_examples, point):
    """A row a beta; `point(i, data)` gives rate, distortion and their sum at beta i."""
    columns = {"beta": betas}
    test = None if test_examples is None else checked_matrix("test_examples", test_examples, x.shape[1])
    for prefix, data in (("", x), ("test_", test)):
        if data is not None:
            points = zip(*[point(i, data) for i in range(len(betas))])
            columns.update(zip([prefix + name for name in NAMES], map(np.array, points)))
    return pd.DataFrame(columns)
