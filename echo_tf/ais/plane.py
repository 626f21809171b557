"""Integrals over the plane by squares that are split where they count.

Each cell carries two Gauss-Legendre rules, of 4 x 4 and of 3 x 3 points: the first is the integral, how far the second is
from it the error. A cell is split while it may count and is not resolved: where the integrand differs by many nats from point
to point, or the rules differ. What a cell may hold at most is told by the best of its 25 points and a share of the range over
all of them, as much better as something between the points may be. No cell is ever dropped: one that counts for nothing at one
inverse temperature can be split at a higher one. So the work is where the mass is, and a decoder that hardly varies takes few
cells at any inverse temperature.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

A_SIDE = 16  # cells of the innermost square
RINGS = 4  # about it, each as twice as large a square in cells of twice the side
BETWEEN = 0.3  # of the range over the points of a cell: how much better it may be between them
NEGLIGIBLE = 12.0  # nats below all others together
RESOLVED = 6.0  # nats that the integrand may differ by between the points of a cell that counts
TOLERANCE = 2e-4  # of the integral: the difference of the two rules in one cell
MOST = 40_000  # cells
AT_ONCE = 64, 1 / 16  # cells that are split together, or this share of all if that is more: those that may hold most


def _rules():
    """Points (25, 2) in [-1, 1]^2, and the log weights (2, 25) of the two rules; those of each add up to 1."""
    points, weights = [], np.zeros((2, 25))
    for row, number, place in ((0, 4, slice(0, 16)), (1, 3, slice(16, 25))):
        x, w = np.polynomial.legendre.leggauss(number)
        points.append(np.stack(np.meshgrid(x, x, indexing="ij"), -1).reshape(-1, 2))
        weights[row, place] = np.outer(w, w).ravel() / 4
    return np.concatenate(points), weights


OFFSETS, WEIGHTS = _rules()


class Cells(NamedTuple):
    """Squares that tile a part of the plane.

    centers: (n, 2). sides: (n,).
    log_prior, distortion: (n, 25) at the points of each.
    """

    centers: np.ndarray
    sides: np.ndarray
    log_prior: np.ndarray
    distortion: np.ndarray


class Integral(NamedTuple):
    """log Z in nats, D in its own unit, the error of log Z in nats, and log Z of the cells at the edge, at most."""

    log_z: float
    distortion: float
    error: float
    edge: float


def tiles(half: float) -> tuple[np.ndarray, np.ndarray]:
    """Centers (n, 2) and sides (n,) of the cells to begin with: a square from -half to half, and rings about it."""
    places = (np.arange(A_SIDE) + 0.5) / A_SIDE * 2 - 1
    square = np.stack(np.meshgrid(places, places, indexing="ij"), -1).reshape(-1, 2)
    ring = square[np.abs(square).max(1) > 0.5]
    scales = half * 2.0 ** np.arange(RINGS + 1)
    parts = [square if k == 0 else ring for k in range(RINGS + 1)]
    centers = np.concatenate([scale * part for scale, part in zip(scales, parts)])
    return centers, np.concatenate([np.full(len(part), 2 * scale / A_SIDE) for scale, part in zip(scales, parts)])


def points_of(centers: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """(n, 25, 2)."""
    return centers[:, None] + sides[:, None, None] / 2 * OFFSETS


@np.errstate(invalid="ignore")  # of a density that is 0 at all points of a cell, which then may hold nothing
def integrate(cells: Cells, beta: float, evaluate: Callable) -> tuple[Cells, Integral]:
    """The integral of p(z) exp(-beta d(z)) over the cells, which are split until it is resolved.

    Args:
        beta: inverse temperature.
        evaluate: codes (n, 25, 2) -> (log density of the prior (n, 25), distortion (n, 25)).

    Returns:
        (the cells, `Integral`).

    Raises:
        ValueError: where more cells are needed than `MOST`.
    """
    half = (np.abs(cells.centers).max(1) + cells.sides / 2).max()
    while True:
        logs = cells.log_prior - beta * cells.distortion
        area = 2 * np.log(cells.sides)
        highest = logs.max(1)
        shift = (highest + area).max()
        sums = np.exp(logs + (area - shift)[:, None]) @ WEIGHTS.T  # (n, 2)
        log_z = np.log(sums[:, 0].sum())
        better = BETWEEN * (np.ptp(cells.log_prior, 1) + beta * np.ptp(cells.distortion, 1))
        may_hold = highest + better + area - shift - log_z
        differ = np.abs(sums[:, 0] - sums[:, 1]) / sums[:, 0].sum()
        wanting = (may_hold > -NEGLIGIBLE) & ((np.ptp(logs, 1) > RESOLVED) | (differ > TOLERANCE))
        if not wanting.any():
            break
        chosen = np.flatnonzero(wanting)
        chosen = chosen[np.argsort(-may_hold[chosen])[: max(AT_ONCE[0], int(AT_ONCE[1] * len(cells.sides)))]]
        if len(cells.sides) + 3 * len(chosen) > MOST:
            raise ValueError(
                f"at beta {beta:g} more than {MOST:,} cells of the plane count, or posteriors lie too far out "
                f"(codes within {-half:g}..{half:g} are covered): lower the highest beta, or take no grid."
            )
        cells = _split(cells, chosen, evaluate)
    at_edge = np.abs(cells.centers).max(1) + cells.sides / 2 > half * (1 - 1e-9)
    weights = np.exp(logs + (area - shift)[:, None]) * WEIGHTS[0]
    mean = (weights * cells.distortion).sum() / weights.sum()
    return cells, Integral(log_z + shift, mean, differ.sum(), np.logaddexp.reduce(may_hold[at_edge]) + log_z + shift)


def _split(cells, chosen, evaluate):
    corners = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]])
    sides = np.repeat(cells.sides[chosen] / 2, 4)
    centers = (cells.centers[chosen][:, None] + cells.sides[chosen][:, None, None] / 4 * corners).reshape(-1, 2)
    added = Cells(centers, sides, *evaluate(points_of(centers, sides)))
    return Cells(*(np.concatenate([np.delete(old, chosen, axis=0), new]) for old, new in zip(cells, added)))
