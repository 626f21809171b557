"""scikit-learn's digits as a dataset that needs no download."""

import numpy as np

from echo_tf.data.catalog import CATALOG
from echo_tf.data.dataset import Dataset


def digits() -> Dataset:
    """scikit-learn's 1,797 handwritten digits as 28 x 28 binary images, split 1,500 / 297; the same bits every time.

    Grey levels are scaled up from 8 x 8 by linear interpolation; each pixel is then drawn once, as 1 with the
    probability of its level (static binarization, as Larochelle's for MNIST).
    """
    from scipy.ndimage import zoom
    from sklearn.datasets import load_digits

    source = load_digits()
    levels = np.stack([zoom(image / 16.0, 28 / 8, order=1, grid_mode=True, mode="nearest") for image in source.images])
    rng = np.random.default_rng(0)
    x = (rng.random(levels.shape) < levels).astype(np.uint8)[..., None]
    order = rng.permutation(len(x))
    rows = {"train": order[:1500], "test": order[1500:]}
    splits = {split: x[chosen] for split, chosen in rows.items()}
    labels = {split: source.target[chosen] for split, chosen in rows.items()}
    return Dataset("digits", CATALOG["digits"].variant, "scikit-learn", splits, 1, labels)
