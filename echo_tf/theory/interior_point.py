"""Steps towards the best weights of reproduction points: an interior-point Newton method, and SQUAREM where that is too large.

For references see `echo_tf.theory.blahut_arimoto`, whose problem they solve.
"""

import math

import numpy as np
from scipy import linalg

NEWTON_COLUMNS = 2500  # reproduction points that may matter at once in one linear system
NEWTON_WORK = 5e10  # and multiplications that setting it up may take
SMALLEST_LOG_MASS = -60.0  # no mass falls below its exponential: each can come back, and what it costs is not to be seen
LONGEST_STEP = 256.0  # in plain steps; longer ones empty points that are needed later
LEFT_OUT = 1e-2  # curvature, relative to the barrier's, below which a point gets a step of its own


class Weights:
    """Weights q of mass near 1, slacks s ~ 1 - c, and a barrier that falls: q s -> mu -> 0.

    The minimum of F(q) + sum q over q >= 0 has mass 1 of itself. On the central path q (1 - c) = mu, so that the mass is
    1 + m mu and the gap of the normalised q is at most log(1 + m mu).
    """

    def __init__(self, problem, q, tolerance):
        self.problem, self.q, self.slack = problem, q, None
        self.barrier, self.last_barrier = None, 0.2 * tolerance / len(q)

    def measure(self, squares):
        """Evaluates q. Returns the gap in nats of q / sum q."""
        self.q = np.maximum(self.q, math.exp(SMALLEST_LOG_MASS))
        self.z, self.c, self.h = self.problem.evaluate(self.q, squares)
        return math.log(self.c.max() * self.q.sum())

    def _prepare(self):
        m = len(self.q)
        if self.slack is None:  # q raised until no c is above 1: its slacks are then those of a point of the dual
            self.q = np.maximum(self.q, 1e-3 / m)
            self.z, self.c, self.h = self.problem.evaluate(self.q, True)
            top = 1.01 * self.c.max()
            self.q, self.z, self.c, self.h = self.q * top, self.z * top, self.c / top, self.h / top**2
            self.barrier, self.slack = math.inf, 1.0 - self.c
        centred = float(np.mean(self.q * self.slack))
        self.barrier = max(min(self.barrier, 0.1 * centred), self.last_barrier)

    def _active(self):
        """Columns whose curvature counts; the others' equations are nearly diagonal."""
        slack = np.maximum(1.0 - self.c, 1e-300) if self.slack is None else self.slack
        return np.flatnonzero(self.q * self.h > LEFT_OUT * slack)

    def newton_fits(self):
        k = len(self._active())
        return k <= NEWTON_COLUMNS and len(self.problem.p) * k * k <= NEWTON_WORK

    def newton_step(self):
        """One primal-dual step, no longer than keeps q and s positive and the barrier's objective falling."""
        self._prepare()
        q, s, mu = self.q, self.slack, self.barrier
        active = self._active()
        right = mu - q * (1.0 - self.c)
        diagonal = q * (q * self.h + s)
        relative = right / diagonal  # the step of q, over q
        if len(active):
            system = self.problem.curvature(self.z, q, active)
            system[np.diag_indices_from(system)] += q[active] * s[active]
            relative[active] = _solve(system, right[active])
        step, slack_step = q * relative, mu / q - s - s * relative
        length = min(1.0, 0.99 / max(-relative.min(), 1e-300))
        slack_length = min(1.0, 0.99 / max((-slack_step / s).max(), 1e-300))
        z_step = self.problem.along(step)
        p, z, slope = self.problem.p, self.z, float(-(right @ relative))
        for _ in range(40):
            moved = z + length * z_step
            if moved.min() > 0:
                gain = length * step.sum() - p @ np.log1p(length * z_step / z) - mu * np.log1p(length * relative).sum()
                if gain <= 1e-4 * length * slope + 1e-15:
                    break
            length *= 0.5
        self.q = q + length * step
        self.slack = s + slack_length * slack_step
        return 1

    def squarem_step(self):
        """Two plain steps and an extrapolation of log q along them, taken only if F does not rise. Returns further passes."""
        self.slack = None
        logs, q = [np.log(self.q)], self.q * self.c
        logs.append(np.log(np.maximum(q, 1e-300)))
        z, c, _ = self.problem.evaluate(q)
        plain = q * c
        logs.append(np.log(np.maximum(plain, 1e-300)))
        first, second = logs[1] - logs[0], logs[2] - 2 * logs[1] + logs[0]
        weight = self.q
        alpha = math.sqrt((weight @ first**2) / max(weight @ second**2, 1e-300))
        alpha = min(max(alpha, 1.0), LONGEST_STEP)
        far = logs[0] + 2 * alpha * first + alpha**2 * second
        far = np.exp(np.maximum(far - far.max(), SMALLEST_LOG_MASS))
        far /= far.sum()
        better = self.problem.objective(self.problem.evaluate(far)[0]) <= self.problem.objective(z)
        self.q = far if better else plain
        return 2


def _solve(system, right):
    """The solution of a positive definite system, scaled to a diagonal of 1; of one that is nearly so, if need be."""
    scale = 1.0 / np.sqrt(np.diag(system))
    scaled = system * scale[:, None] * scale
    for jitter in (0.0, 1e-14, 1e-12, 1e-10, 1e-8, 1e-6, 1e-4):
        try:
            factor = linalg.cho_factor(scaled + jitter * np.eye(len(scaled)), lower=True, check_finite=False)
            return scale * linalg.cho_solve(factor, scale * right, check_finite=False)
        except linalg.LinAlgError:
            continue
    return right / np.diag(system)
