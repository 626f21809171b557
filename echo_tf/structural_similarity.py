"""The structural similarity index (SSIM) of images, and its second-order expansion, over windows with Gaussian weights.

References: Wang, Bovik, Sheikh and Simoncelli, "Image Quality Assessment", IEEE Transactions on Image Processing 2004, whose
window (11 x 11, standard deviation 1.5) and constants (k1 = 0.01, k2 = 0.03) these are; for the expansion, the isometric VAE
paper, equations 73-77, with the constants kept.
"""

import numpy as np
from keras import ops

from echo_tf.guards import precise

SIDE, DEVIATION = 11, 1.5  # of the window
C1, C2 = 0.01**2, 0.03**2  # for a range of 1


def check_size(shape):
    """Raises ValueError for images (..., H, W, C) that no window fits into."""
    if len(shape) != 4 or min(shape[1:3]) < SIDE:
        raise ValueError(f"SSIM needs images (n, height, width, channels) of {SIDE} x {SIDE} or more, got {tuple(shape)}.")


def dissimilarity(x, y):
    """1 - SSIM of each pair of images (B, H, W, C) in [0, 1], (B,): the mean over windows that fit, and channels.

    Written in terms of x - y, so that small differences do not drown in the rounding of 1.
    """
    x, y = precise(x, y)
    mean_x, mean_y, mean_d = _windowed(x), _windowed(y), _windowed(x - y)
    variance_x, variance_y = _windowed(x * x) - mean_x * mean_x, _windowed(y * y) - mean_y * mean_y
    variance_d = _windowed(ops.square(x - y)) - mean_d * mean_d
    luminance = mean_d * mean_d / (mean_x * mean_x + mean_y * mean_y + C1)
    structure = variance_d / (variance_x + variance_y + C2)
    return ops.mean(luminance + structure - luminance * structure, axis=(1, 2, 3))


def bilinear(x, u, v):
    """u' G_x v for the metric G_x of 1 - SSIM at x, all (B, H, W, C); (B,).

    In one window with weights w: G = w w' / (2 mu^2 + C1) + (diag w - w w') / (2 s^2 + C2) with mean mu and variance s^2 of x.
    """
    x, u, v = precise(x, u, v)
    mean_x, mean_u, mean_v = _windowed(x), _windowed(u), _windowed(v)
    variance = _windowed(x * x) - mean_x * mean_x
    covariance = _windowed(u * v) - mean_u * mean_v
    return ops.mean(mean_u * mean_v / (2 * mean_x * mean_x + C1) + covariance / (2 * variance + C2), axis=(1, 2, 3))


def _windowed(x):
    """The weighted mean over each window, (B, H - 10, W - 10, C)."""
    weights = np.exp(-0.5 * ((np.arange(SIDE) - (SIDE - 1) / 2) / DEVIATION) ** 2)
    weights = weights / weights.sum()
    channels = x.shape[-1]
    for shape in ((SIDE, 1, 1, 1), (1, SIDE, 1, 1)):
        kernel = ops.convert_to_tensor(np.tile(weights.reshape(shape), (1, 1, channels, 1)), dtype=x.dtype)
        x = ops.depthwise_conv(x, kernel, padding="valid", data_format="channels_last")
    return x
