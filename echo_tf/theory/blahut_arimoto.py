"""The rate-distortion function of a discrete source, by the Blahut-Arimoto algorithm, to a proven accuracy.

Blahut, "Computation of channel capacity and rate-distortion functions", IEEE Trans. Inform. Theory 18 (1972): the
iteration, theorem 6 (its bounds). R(D) at slope -beta is the minimum over output marginals q of

    F(q) = -sum_x p(x) log Z(x),   Z(x) = sum_y q(y) exp(-beta d(x, y)),   which is R + beta D.

With c(y) = sum_x p(x) exp(-beta d(x, y)) / Z(x), the iteration is q <- q c, and for every q

    F(q) - log max_y c(y)  <=  min F  <=  F(q).

The iteration creeps where masses tend to 0 or points compete. The problem is also that of the weights of a mixture by
maximum likelihood, for which an interior-point Newton method takes tens of passes over the matrix (Koenker and Mizera,
"Convex optimization, shape constraints, compound decisions, and empirical Bayes rules", JASA 109, 2014). Where its linear
systems would be too large, SQUAREM steps are taken (Varadhan and Roland, Scand. J. Stat. 35, 2008).
"""

import contextlib
import functools
import math
import warnings
from typing import NamedTuple

import numpy as np
import pandas as pd
from threadpoolctl import ThreadpoolController

from echo_tf import arguments
from echo_tf.theory.interior_point import Weights

BLOCK_BYTES = 16 * 2**20  # of a block of rows
CACHE_BYTES = 64 * 2**20  # a kernel up to this size is computed once and kept
SMALL = 1_000_000  # entries of a matrix
PATIENCE = 50  # Newton steps without progress after which rounding has the word
COARSE_GAP = 1e-5  # a float32 kernel serves down to here


class BlahutArimoto(NamedTuple):
    """A point of R(D), or of R_p(D) for a given marginal."""

    rate: float  # nats: KL(q(y|x) || marginal), mean over x
    distortion: float  # in units of d
    gap: float  # nats: rate + beta * distortion exceeds the minimum by no more; 0 where the marginal is given
    marginal: np.ndarray  # q(y), (m,)
    iterations: int  # passes over the distortion matrix that brought q nearer
    rate_plus_beta_distortion: float  # nats
    beta: float


def blahut_arimoto(p_x, distortion, beta, marginal=None, tolerance=1e-9, max_iterations=10_000, accelerate=True):
    """The point of slope dR/dD = -beta of R(D); with a `marginal`, that of R_p(D), the rate against this marginal.

    Args:
        p_x: (n,) probabilities of the source's symbols; zeros are allowed.
        distortion: (n, m) d(x, y) >= 0 or of any sign; infinite where y is forbidden for x. A float32 matrix is worked on
            in blocks of rows, without a copy; its sums, and the gap, are float64.
        beta: > 0; nats per unit of d.
        marginal: (m,) fixes the output marginal: one step, no minimum over it, gap 0. Zeros are allowed.
        tolerance: nats; the gap at which to stop.
        max_iterations: passes after which to stop anyhow. A warning then says how large the gap is.
        accelerate: False takes plain steps alone.

    Returns:
        BlahutArimoto(rate, distortion, gap, marginal, iterations, ...). `rate` is an upper bound of the mutual information
        of its own joint law; they differ by at most `gap`.

    Raises:
        ValueError: for shapes that do not fit, NaN, probabilities that are negative or do not add up to 1 (within 1e-6),
            beta <= 0, or a symbol x of p(x) > 0 all of whose reproductions are infinitely bad.

    Example: a fair coin, R(D) = ln 2 - h(D) with D = 1 / (1 + exp(beta)).

    >>> point = blahut_arimoto([0.5, 0.5], [[0, 1], [1, 0]], 2.0)
    >>> print(f"{point.rate:.6f} nats at {point.distortion:.6f}")
    0.327813 nats at 0.119203
    """
    problem = _Problem(p_x, distortion, beta, marginal)
    if marginal is not None:
        return problem.result(problem.marginal, 0)
    _check_limits(tolerance, max_iterations)
    return _minimise(problem, problem.uniform(), tolerance, max_iterations, accelerate)


def rate_distortion_curve(p_x, distortion, betas, marginal=None, tolerance=1e-9, max_iterations=10_000, accelerate=True):
    """R(D), or R_p(D), at several slopes. Each solution starts from its neighbour's, mixed with a little uniform mass.

    Args:
        betas: the slopes, > 0, in any order.
        p_x, distortion, marginal, tolerance, max_iterations, accelerate: as of `blahut_arimoto`.

    Returns:
        A DataFrame, a row a beta in the order given: beta, rate_nats, distortion (in units of d), gap_nats, iterations.

    Raises:
        ValueError: as `blahut_arimoto`.
    """
    betas = arguments.betas(betas)
    _check_limits(tolerance, max_iterations)
    points, start = [None] * len(betas), None
    problem = _Problem(p_x, distortion, betas[0], marginal)
    for i in np.argsort(betas, kind="stable"):
        problem.set_beta(betas[i])
        if marginal is not None:
            points[i] = problem.result(problem.marginal, 0)
            continue
        start = problem.uniform() if start is None else 0.99 * start + 0.01 * problem.uniform()
        points[i] = _minimise(problem, start, tolerance, max_iterations, accelerate)
        start = points[i].marginal
    names = ["rate_nats", "distortion", "gap_nats", "iterations"]
    rows = [[point.rate, point.distortion, point.gap, point.iterations] for point in points]
    return pd.DataFrame(rows, columns=names).assign(beta=betas)[["beta", *names]]


def _check_limits(tolerance, max_iterations):
    arguments.number("tolerance", tolerance, "(0, inf)")
    arguments.integer("max_iterations", max_iterations)


def _probabilities(name, values, size=None):
    """`values` as float64 probabilities that add up to 1 exactly, or ValueError."""
    p = arguments.array(name, values, 0.0, "probabilities >= 0")
    if p.ndim != 1 or not p.size or (size is not None and len(p) != size):
        expected = "(n,)" if size is None else f"({size},), a number a column of distortion"
        raise ValueError(f"{name} must be of the shape {expected}, got {p.shape}.")
    if not abs(p.sum() - 1.0) <= 1e-6:
        raise ValueError(f"{name} must add up to 1 within 1e-6, got a sum of {p.sum():.8g}: divide it by its sum.")
    return p / p.sum()


class _Problem:
    """A checked source and distortion at one beta: passes over the matrix, a block of rows at a time.

    Symbols of probability 0, and reproductions that a given marginal excludes, are left out of every block. The least
    distortion of each row is subtracted before the exponential, so that no row underflows as a whole.
    """

    def __init__(self, p_x, distortion, beta, marginal=None):
        p = _probabilities("p_x", p_x)
        d = np.asarray(distortion)
        d = d if d.dtype in (np.float32, np.float64) else d.astype(np.float64)
        if d.ndim != 2 or d.shape[0] != len(p) or not d.shape[1]:
            expected = f"({len(p)}, m), a row for each of p_x"
            raise ValueError(f"distortion must be of the shape {expected}, got {d.shape}.")
        self.d, self.size = d, d.shape[1]
        self.marginal = None if marginal is None else _probabilities("marginal", marginal, self.size)
        self.columns = None if marginal is None or np.all(self.marginal > 0) else np.flatnonzero(self.marginal)
        self.rows = None if np.all(p > 0) else np.flatnonzero(p)
        self.p = p if self.rows is None else p[self.rows]
        self.width = self.size if self.columns is None else len(self.columns)
        self.step = max(1, BLOCK_BYTES // (self.width * 8))
        self.lowest = np.concatenate([self._checked_least(rows) for rows in self._blocks()])
        self.precise = d.dtype == np.float64
        self.set_beta(beta)

    def set_beta(self, beta):
        self.beta, self.kept = arguments.beta(beta), {}
        self.precise = self.d.dtype == np.float64

    def uniform(self):
        return np.full(self.size, 1.0 / self.size)

    def _blocks(self):
        return [slice(i, min(i + self.step, len(self.p))) for i in range(0, len(self.p), self.step)]

    def _distortions(self, rows):
        block = self.d[rows] if self.rows is None else self.d[self.rows[rows]]
        return block if self.columns is None else block[:, self.columns]

    def _checked_least(self, rows):
        block = self._distortions(rows)
        least = block.min(axis=1)
        if np.isnan(least).any() or np.isneginf(least).any():
            raise ValueError("distortion must hold numbers or +inf, got NaN or -inf among them.")
        if np.isposinf(least).any():
            row = int(np.flatnonzero(np.isposinf(least))[0]) + rows.start
            row = row if self.rows is None else int(self.rows[row])
            raise ValueError(f"distortion must be finite somewhere in each row of p_x > 0, got row {row} all infinite.")
        return least

    def _kernel(self, rows):
        """exp(-beta (d - least of the row)) of some rows."""
        if rows.start not in self.kept:
            block = self._distortions(rows)
            dtype = np.float64 if self.precise else np.float32
            kernel = np.subtract(block, self.lowest[rows, None], dtype=dtype)
            kernel *= -self.beta
            np.exp(kernel, out=kernel)
            if len(self.p) * self.width * 8 > CACHE_BYTES:
                return kernel
            self.kept[rows.start] = kernel
        return self.kept[rows.start]

    def refine(self):
        """From here on in float64."""
        self.precise, self.kept = True, {}

    def evaluate(self, q, squares=False):
        """Z (n,), without its factor exp(-beta least), c (m,) and, with `squares`, the diagonal of the Hessian (m,)."""
        z, c, h = np.empty(len(self.p)), np.zeros(self.width), np.zeros(self.width)
        for rows in self._blocks():
            kernel = self._kernel(rows)
            z[rows] = kernel @ q.astype(kernel.dtype)
            np.maximum(z[rows], 1e-300, out=z[rows])
            weight = self.p[rows] / z[rows]
            c += weight.astype(kernel.dtype) @ kernel
            if squares:
                h += (weight / z[rows]).astype(kernel.dtype) @ np.square(kernel)
        return z, c, h

    def objective(self, z):
        """F of Z without its factor exp(-beta least)."""
        return float(self.p @ (self.beta * self.lowest - np.log(z)))

    def curvature(self, z, q, active):
        """diag(q) H diag(q) over the active columns, H = sum_x p exp(-beta d) exp(-beta d)' / Z²."""
        h = np.zeros((len(active), len(active)))
        everything = len(active) == self.width
        for rows in self._blocks():
            kernel = self._kernel(rows)
            part = kernel if everything else kernel[:, active]
            part = part * (np.sqrt(self.p[rows]) / z[rows]).astype(part.dtype)[:, None]
            h += part.T @ part
        return h * q[active][:, None] * q[active]

    def along(self, step):
        """What Z gains for a step of q."""
        return np.concatenate([self._kernel(rows) @ step.astype(self._kernel(rows).dtype) for rows in self._blocks()])

    def result(self, q, iterations):
        """The point of a marginal (m,), in float64 and by logarithms of sums throughout."""
        used = q if self.columns is None else q[self.columns]
        log_q = np.log(used)
        f = mean = 0.0
        c = np.zeros(self.width)
        for rows in self._blocks():
            excess = np.subtract(self._distortions(rows), self.lowest[rows, None], dtype=np.float64)
            joint = log_q - self.beta * excess
            top = joint.max(axis=1, keepdims=True)
            np.exp(joint - top, out=joint)
            z = joint.sum(axis=1)
            weight = self.p[rows] / z
            c += weight @ joint
            f += self.p[rows] @ (self.beta * self.lowest[rows] - np.log(z) - top[:, 0])
            excess[np.isinf(excess)] = 0.0
            mean += self.p[rows] @ self.lowest[rows] + weight @ np.einsum("ij,ij->i", joint, excess)
        gap = 0.0 if self.marginal is not None else max(0.0, math.log(np.max(c / np.exp(log_q))))
        rate = max(0.0, float(f - self.beta * mean))
        return BlahutArimoto(rate, float(mean), gap, q, iterations, float(f), self.beta)


@functools.cache
def _threads():
    return ThreadpoolController()


def _minimise(problem, *arguments):
    """`_steps`; small problems on one thread, since on busy cores the pools of NumPy and SciPy wait for each other."""
    small = len(problem.p) * problem.width < SMALL
    with _threads().limit(limits=1, user_api="blas") if small else contextlib.nullcontext():
        return _steps(problem, *arguments)


def _steps(problem, q, tolerance, max_iterations, accelerate):
    """Steps until the gap is at most the tolerance, and the point reached."""
    state = Weights(problem, q / q.sum(), tolerance)
    passes, best, best_gap = 0, state.q, math.inf
    patience, progress = PATIENCE, math.inf
    while passes < max_iterations:
        gap = state.measure(accelerate)
        passes += 1
        if gap < best_gap:
            best, best_gap = state.q / state.q.sum(), gap
        if gap <= (tolerance if problem.precise else max(tolerance, COARSE_GAP)):
            point = problem.result(best, passes)
            if problem.precise or point.gap <= tolerance:
                return point
            problem.refine()
            best_gap = math.inf
        elif not accelerate:
            state.q = state.q * state.c
        else:
            patience = PATIENCE if gap < 0.9 * progress else patience - 1
            progress = min(gap, progress)
            passes += state.newton_step() if patience > 0 and state.newton_fits() else state.squarem_step()
    point = problem.result(best, passes)
    if point.gap > tolerance:
        warnings.warn(
            f"Blahut-Arimoto stopped after {passes} passes with a gap of {point.gap:.3g} nats, above the tolerance of "
            f"{tolerance:g}: raise max_iterations or tolerance.",
            stacklevel=4,
        )
    return point
