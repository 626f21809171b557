"""Averages over images; it imports no tensors, so that tables can read it."""

from typing import NamedTuple

import numpy as np


class Exact(NamedTuple):
    """Arrays (R, B): of each beta and image, the distortion in its own unit, and log Z in nats.

    error: of log Z, (R, B), nats, as two rules of integration tell; None: of a closed form.
    reach: codes from -reach to reach in each dimension are covered; None: all.
    """

    distortion: np.ndarray
    log_z: np.ndarray
    error: np.ndarray | None = None
    reach: float | None = None

    def curve(self, betas: np.ndarray) -> np.ndarray:
        """(R, 3): rate, distortion and -log Z, means over the images."""
        distortion, log_z = self.distortion.mean(1), self.log_z.mean(1)
        return np.stack([-log_z - betas * distortion, distortion, -log_z], 1)


def between(betas: np.ndarray, known: np.ndarray, log_z: np.ndarray, distortion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """log Z and D at inverse temperatures between those of which they are known; (n, B) each.

    The slope of log Z is -D, so that a cubic through the values and slopes of both neighbours is known (Hermite's), and D is
    its slope. Below the first one, log Z is 0 at beta 0, and D rises in proportion to what beta falls.

    Args:
        betas: (n,) in [0, known[-1]].
        known: (R,) rising from above 0.
        log_z, distortion: (R, B), nats and the distortion's own unit.
    """
    at_prior = distortion[:1] + 2 * (-log_z[:1] / known[0] - distortion[:1])  # makes the first cubic a square
    x, values = np.append(0.0, known), np.concatenate([np.zeros_like(log_z[:1]), log_z])
    slopes = -np.concatenate([at_prior, distortion])
    above = np.clip(np.searchsorted(x, betas), 1, len(known))
    width = (x[above] - x[above - 1])[:, None]
    t = (np.asarray(betas) - x[above - 1])[:, None] / width
    left, right, rise = slopes[above - 1], slopes[above], (values[above] - values[above - 1]) / width
    found = values[above - 1] + width * (t**2 * (3 - 2 * t) * rise + t * (1 - t) ** 2 * left - t**2 * (1 - t) * right)
    return found, -(6 * t * (1 - t) * rise + (1 - t) * (1 - 3 * t) * left - t * (2 - 3 * t) * right)


def standard_error(of_images: np.ndarray) -> np.ndarray:
    """The standard error of means over images, (R, B) -> (R,); NaN for one image."""
    number = of_images.shape[1]
    return of_images.std(axis=1, ddof=1) / number**0.5 if number > 1 else np.full(len(of_images), np.nan)


def weighed(log_weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(log mean w (B,), normalized weights (M, B), effective sample size (B,)) of log weights (M, B).

    Where all weights of an image are 0, log mean w is -inf and the effective sample size 0.
    """
    highest = log_weights.max(axis=0)
    safe = np.where(np.isfinite(highest), highest, 0.0)
    w = np.exp(log_weights - safe)
    total = w.sum(axis=0)
    with np.errstate(divide="ignore"):
        log_z = np.log(total) + safe - np.log(len(log_weights))
    weights = w / np.where(total > 0, total, 1.0)
    square = (weights**2).sum(axis=0)
    return log_z, weights, np.where(square > 0, 1 / np.where(square > 0, square, 1.0), 0.0)
