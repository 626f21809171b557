"""Averages over images; it imports no tensors, so that tables can read it."""

import numpy as np


def standard_error(of_images: np.ndarray) -> np.ndarray:
    """The standard error of means over images, (R, B) -> (R,); NaN for one image."""
    number = of_images.shape[1]
    return of_images.std(axis=1, ddof=1) / number**0.5 if number > 1 else np.full(len(of_images), np.nan)
