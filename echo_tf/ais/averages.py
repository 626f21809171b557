"""Averages over images; it imports no tensors, so that tables can read it."""

from typing import NamedTuple

import numpy as np


class Exact(NamedTuple):
    """Arrays (R, B): of each beta and image, the distortion in its own unit, and log Z in nats."""

    distortion: np.ndarray
    log_z: np.ndarray

    def curve(self, betas: np.ndarray) -> np.ndarray:
        """(R, 3): rate, distortion and -log Z, means over the images."""
        distortion, log_z = self.distortion.mean(1), self.log_z.mean(1)
        return np.stack([-log_z - betas * distortion, distortion, -log_z], 1)


def standard_error(of_images: np.ndarray) -> np.ndarray:
    """The standard error of means over images, (R, B) -> (R,); NaN for one image."""
    number = of_images.shape[1]
    return of_images.std(axis=1, ddof=1) / number**0.5 if number > 1 else np.full(len(of_images), np.nan)
