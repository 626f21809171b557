"""The lower bound of R(D) of examples under squared error, from the dual problem; see `echo_tf.theory.data_bounds`."""

import warnings

import numpy as np
import pandas as pd
from scipy.special import logsumexp

from echo_tf import arguments
from echo_tf.theory.blahut_arimoto import blahut_arimoto
from echo_tf.theory.data_bounds import NAMES, USED, fit_particles
from echo_tf.theory.distances import blocks, centred_distances, exponentiate, no_check, squared_distances

MOST = 400  # maxima followed to the end


def lower_bound(examples, betas, points=None, rounds=3, ascent_steps=40, tolerance=1e-3, check=no_check):
    """Both bounds of the least rate + beta * distortion of the examples, as the source; numerical, not a proof.

    The marginal is that of Blahut-Arimoto over the examples, `points`, and what is added `rounds` times: the points in use,
    moved by `fit_particles`, and the highest maxima of c that are quickly found. The lower bound F(q) - log sup_y c(y) needs
    the supremum over all of space. c is a sum of Gaussian bumps, and its maxima are sought by mean-shift from every example
    and every point; one that is missed would make the bound too high. It is a certificate to that extent alone.

    In expectation over the sample, the least rate + beta * distortion of n examples lies below the population's (a minimum
    of means against a mean's minimum). So each row bounds the population's too, in expectation, and is weak where the
    population's rate nears log n, which a sample's never exceeds. A maximum over rows does not: see `lower_envelope`.

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
    x, betas = arguments.matrix("examples", examples), arguments.betas(betas)
    rounds, ascent_steps = arguments.integer("rounds", rounds, 0), arguments.integer("ascent_steps", ascent_steps)
    centre = x.mean(axis=0)
    x = x - centre
    start = x if points is None else np.concatenate([x, arguments.matrix("points", points, x.shape[1]) - centre])
    start = np.concatenate([start, np.zeros((1, x.shape[1]))])  # the mean, which is all that low rates need
    rows = [_sandwich(x, beta, start, rounds, ascent_steps, tolerance, check) for beta in betas]
    names = ["upper_rate_plus_beta_distortion_nats", "lower_rate_plus_beta_distortion_nats", "log_sup_c_nats", *NAMES[:2]]
    return pd.DataFrame(rows, columns=names).assign(beta=betas)[["beta", *names]]


def lower_envelope(table, distortions, chosen_on=None):
    """A lower bound of R(D) at distortions of one's choice, from the table of `lower_bound`.

    By default max(0, max over beta of (F_lower(beta) - beta D)), which bounds R(D) of the table's own examples as the source,
    always (as far as `lower_bound` does). It bounds no population's: a maximum of lines that scatter lies above their
    expectations' maximum, and a source that is 0 nine times in ten has a positive one at distortions that cost no rate.

    With `chosen_on`, the table of `lower_bound` for other examples of the same population at the same betas, each D's beta is
    the one that is best there, and the value is this table's F_lower(beta) - beta D. Its expectation is no more than the
    population's R(D). It may be negative: to raise it to 0 would bring the bias back.

    Args:
        table: of `lower_bound`.
        distortions: summed squared errors, >= 0.
        chosen_on: None, or a table of the same betas.

    Returns:
        A DataFrame: distortion_sse, lower_rate_nats, beta (whose line it is).

    Raises:
        ValueError: for a negative distortion, or tables of different betas.
    """
    distortions = np.atleast_1d(arguments.array("distortions", distortions, 0.0, "numbers >= 0"))
    betas = table["beta"].to_numpy()
    if chosen_on is not None and not np.array_equal(betas, chosen_on["beta"]):
        raise ValueError(f"chosen_on must be of the betas of table, {betas.tolist()}, got {list(chosen_on['beta'])}.")
    lines = _lines(table, distortions)
    best = (lines if chosen_on is None else _lines(chosen_on, distortions)).argmax(axis=0)
    rates = lines[best, np.arange(len(distortions))]
    rates = np.maximum(0.0, rates) if chosen_on is None else rates
    return pd.DataFrame({"distortion_sse": distortions, "lower_rate_nats": rates, "beta": betas[best]})


def _lines(table, distortions):
    """F_lower(beta) - beta D, (num_betas, num_distortions)."""
    return table["lower_rate_plus_beta_distortion_nats"].to_numpy()[:, None] - np.outer(table["beta"], distortions)


def _sandwich(x, beta, fixed, rounds, ascent_steps, tolerance, check):
    """A row of `lower_bound`: the points used, moved, and maxima of c join the `fixed` ones; the last search is full."""
    p, best, candidates = np.full(len(x), 1 / len(x)), None, fixed
    for left in range(rounds, -1, -1):
        check()
        distances = centred_distances(x, candidates)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a gap above the tolerance is counted in the bound
            point = blahut_arimoto(p, distances, beta, tolerance=tolerance, max_iterations=500)
        log_z = logsumexp(np.log(point.marginal) - beta * distances, axis=1)
        if best is None or point.rate_plus_beta_distortion < best.rate_plus_beta_distortion:
            best = point
        if not left:
            break
        log_c = logsumexp(-log_z[:, None] - beta * distances, axis=0)
        maxima, heights = _maxima(x, log_z, beta, candidates[np.argsort(-log_c)[:MOST]], ascent_steps, check)
        used = point.marginal > USED
        moved = fit_particles(x, beta, candidates[used], point.marginal[used], steps=20, check=check).positions
        candidates = np.concatenate([fixed, moved, maxima[heights > 0]])
    log_sup = max(point.gap, float(_maxima(x, log_z, beta, candidates, ascent_steps, check)[1][0]))
    lower = point.rate_plus_beta_distortion - log_sup
    return [best.rate_plus_beta_distortion, lower, log_sup, best.rate, best.distortion]


def _maxima(x, log_z, beta, starts, steps, check):
    """Maxima of c by mean-shift, the highest first, without those that are close to a higher one; and log c there."""
    x32, y = x.astype(np.float32), np.asarray(starts, np.float32)
    quarter = max(1, steps // 4)
    for step in range(steps):
        check()
        log_c, pulled = np.empty(len(y)), np.empty_like(y)
        for rows in blocks(len(y), len(x)):
            share = -log_z.astype(np.float32) - np.float32(beta) * squared_distances(y[rows], x32)
            log_c[rows] = exponentiate(share)
            pulled[rows] = (share @ x32) / share.sum(axis=1, keepdims=True)
        y = pulled
        if step % quarter == quarter - 1 and len(y) > MOST:
            y = y[np.argsort(-log_c)[: max(len(y) // 2, MOST)]]
    y = np.asarray(y, np.float64)
    log_c = logsumexp(-log_z - beta * centred_distances(y, x), axis=1) - np.log(len(x))
    order = np.argsort(-log_c)[:MOST]
    near = beta * centred_distances(y[order], y[order]) < 1e-3
    apart = ~np.tril(near, -1).any(axis=1)
    return y[order[apart]][: MOST // 2], log_c[order[apart]][: MOST // 2]
