"""The temperatures of annealed importance sampling: which there are, and at which of them a curve has its points."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from echo_tf import arguments

HALF_WIDTH = 10.0  # of the sigmoid; Wu et al. (2017) say 4, the released code of the paper takes 10

NEGLIGIBLE = 0.1  # nats of spread of the log weights: up to there, the first temperature may go at once


class Schedule(NamedTuple):
    """Inverse temperatures from 0 on, cut into segments at whose ends a point of the curve is recorded.

    betas: (N,) rising from 0, float64; there are N - 1 transitions.
    ends: (R,) indices into betas, rising, the last N - 1.
    """

    betas: np.ndarray
    ends: np.ndarray

    @property
    def recorded(self) -> np.ndarray:
        """The inverse temperatures at which points are recorded, (R,)."""
        return self.betas[self.ends]

    @property
    def segments(self) -> list[np.ndarray]:
        """The inverse temperatures of each segment, the first of each being the last of the one before."""
        return [self.betas[first : last + 1] for first, last in zip([0, *self.ends[:-1]], self.ends)]

    @property
    def digest(self) -> str:
        """A hash of all numbers."""
        content = self.betas.astype(np.float64).tobytes() + self.ends.astype(np.int64).tobytes()
        return hashlib.sha256(content).hexdigest()[:16]

    def until(self, beta: float) -> "Schedule":
        """The way from 0 to beta through the same temperatures, recorded at least ten times."""
        betas = np.append(self.betas[self.betas < beta * (1 - 1e-9)], beta)
        return Schedule(betas, _ends(len(betas), min(len(betas) - 1, max(10, len(betas) // 50))))

    def thinned(self, factor: int) -> "Schedule":
        """Every `factor`-th temperature, and the last, recorded at least ten times."""
        chosen = np.unique(np.append(np.arange(0, len(self.betas), factor), len(self.betas) - 1))
        return Schedule(self.betas[chosen], _ends(len(chosen), min(len(chosen) - 1, max(10, len(chosen) // 50))))

    def reversed(self) -> "Schedule":
        """The way back to 0."""
        return Schedule(self.betas[::-1].copy(), self.ends)


def sigmoid_schedule(num_temperatures: int, max_beta: float, num_betas: int, half_width: float = HALF_WIDTH) -> Schedule:
    """The schedule of the paper: temperatures on a sigmoid, every (N / R)-th recorded.

    beta_i = max_beta (s_i - s_0) / (s_{N-1} - s_0), s = sigmoid of N equal steps from -half_width to half_width.

    Args:
        num_temperatures: N, with 0 and max_beta.
        max_beta: the highest inverse temperature.
        num_betas: R, how many are recorded; 0 is none of them.

    Raises:
        ValueError: for max_beta or half_width <= 0, or fewer temperatures than records.

    References: "Evaluating Lossy Compression Rates of Deep Generative Models", appendix C.2, and Wu et al., "On the
    Quantitative Analysis of Decoder-Based Generative Models" (ICLR 2017).
    """
    _check(num_temperatures, max_beta, num_betas)
    if not 0 < half_width < 300:
        raise ValueError(f"half_width must be in (0, 300), got {half_width!r}.")
    s = 1 / (1 + np.exp(-np.linspace(-half_width, half_width, num_temperatures)))
    return Schedule(max_beta * (s - s.min()) / (s.max() - s.min()), _ends(num_temperatures, num_betas))


def geometric_schedule(num_temperatures: int, max_beta: float, num_betas: int, first: float) -> Schedule:
    """From 0 to `first` at once, then by equal factors; every (N / R)-th temperature is recorded. Raises as the others."""
    _check(num_temperatures, max_beta, num_betas)
    if not 0 < first < max_beta:
        raise ValueError(f"first must be in (0, {max_beta:g}), got {first!r}.")
    betas = np.append(0.0, np.geomspace(first, max_beta, num_temperatures - 1))
    betas[-1] = max_beta
    return Schedule(betas, _ends(num_temperatures, num_betas))


def adapted_schedule(
    num_temperatures: int, max_beta: float, num_betas: int, betas: Sequence[float], deviations: Sequence[float]
) -> Schedule:
    """Temperatures between which the log weights spread equally, as far as a preliminary run tells: ours, not the paper's.

    The log weight of a step is -(beta' - beta) d, whose standard deviation is (beta' - beta) sd_beta(d): steps of equal spread
    are equally long in the integral of sd_beta(d). Half of them go there, half to equal steps of log beta, so that
    no stretch of the way is left to what a preliminary run mistook. Recorded are points of equal distance in the same measure.

    Args:
        num_temperatures, max_beta, num_betas: as of `sigmoid_schedule`.
        betas: those of the preliminary run's records, rising.
        deviations: the standard deviation of the distortion at each of them.

    Raises:
        ValueError: as `sigmoid_schedule`, and for betas and deviations that are not positive numbers of equal length.

    Reference for constant spread along the way: Gelman and Meng, "Simulating normalizing constants" (1998).
    """
    _check(num_temperatures, max_beta, num_betas)
    betas, deviations = np.asarray(betas, np.float64), np.asarray(deviations, np.float64)
    good = betas.ndim == 1 and betas.shape == deviations.shape and (np.diff(betas) > 0).all() and betas[0] > 0
    if not good or not (deviations > 0).all() or not np.isfinite(deviations).all():
        raise ValueError("betas must rise from above 0, and deviations must be a positive number for each of them.")
    first = min(betas[0], NEGLIGIBLE / deviations[0])
    grid = np.concatenate([[0.0], np.geomspace(first, max_beta, 4000)])
    spread = np.exp(np.interp(np.log(np.maximum(grid, first)), np.log(betas), np.log(deviations)))
    length = np.concatenate([[0.0], np.cumsum(np.diff(grid) * (spread[1:] + spread[:-1]) / 2)])
    logarithmic = np.linspace(0.0, 1.0, len(grid))
    way = (length / length[-1] + logarithmic) / 2
    found = np.interp(np.linspace(0.0, 1.0, num_temperatures), way, grid)
    found[-1] = max_beta
    return Schedule(found, _ends(num_temperatures, num_betas))


def _ends(num_temperatures, num_betas):
    starts = np.linspace(0, num_temperatures - num_temperatures // num_betas, num_betas, dtype=int)
    ends = np.append(starts[1:], num_temperatures - 1)
    return ends[:-1] if len(ends) > 1 and ends[-1] == ends[-2] else ends


def _check(num_temperatures, max_beta, num_betas):
    arguments.number("max_beta", max_beta, "(0, inf)")
    for name, value in (("num_temperatures", num_temperatures), ("num_betas", num_betas)):
        arguments.integer(name, value)
    if num_temperatures < num_betas + 1:
        raise ValueError(
            f"num_temperatures must be larger than num_betas, so that each record has a transition, "
            f"got {num_temperatures} and {num_betas}."
        )
