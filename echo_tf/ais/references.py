"""Exact curves, where there are any: what the estimates are held against."""

import numpy as np

from echo_tf.ais.target import Target
from echo_tf.distortions import Gaussian, SquaredError

GRID = 6.0, 1201  # half-width and points a side, of two-dimensional codes
AT_ONCE = 20_000


def linear(target: Target, betas: np.ndarray) -> np.ndarray:
    """The curve of a linear decoder under N(0, I) in closed form; see `echo_tf.theory.linear_vae`.

    Returns:
        (R, 3): rate, distortion and -log Z, means over the images.

    Raises:
        ValueError: for a decoder that is not one dense layer, another prior, or a distortion that is not quadratic.
    """
    from echo_tf.theory.linear_vae import linear_vae, linear_vae_squared_error

    weights = [np.asarray(w, np.float64) for w in getattr(target.decoder, "weights", ())]
    shapes = [w.ndim for w in weights]
    if target.prior is not None or shapes != [2, 1] or not isinstance(target.measure, (Gaussian, SquaredError)):
        raise ValueError("a linear decoder (one dense layer, no activation), N(0, I) and a quadratic distortion are needed.")
    images = np.asarray(target.images, np.float64).reshape(target.num_images, -1)
    if isinstance(target.measure, SquaredError):
        curve = linear_vae_squared_error(weights[0].T, weights[1], images, betas)
        columns = ("rate_nats", "distortion_sse", "log_z_nats")
    else:
        variance = float(np.exp(np.asarray(target.measure.log_variance)))
        curve = linear_vae(weights[0].T, weights[1], images, betas, variance)
        columns = ("rate_nats", "distortion_nats", "log_z_nats")
    return curve[list(columns)].to_numpy() * [1, 1, -1]


def grid(target: Target, betas: np.ndarray) -> np.ndarray:
    """The curve of a decoder of two-dimensional codes, by a sum over a grid of them; Returns and Raises as `linear`.

    Its error is below 0.01 nats where the posterior is a few of the grid's steps (0.01) wide.
    """
    import tensorflow as tf

    if target.latent_dim != 2:
        raise ValueError(f"a grid needs codes of two dimensions, got {target.latent_dim}.")
    axis = np.linspace(-GRID[0], GRID[0], GRID[1])
    z = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2).astype(target.precision)
    log_prior = np.array(target.log_prior(tf.constant(z)), np.float64)
    log_prior -= np.logaddexp.reduce(log_prior)  # of the grid's own cells, whatever the constant
    distortion = np.empty((len(z), target.num_images))
    measure = tf.function(target.distortion, jit_compile=True)
    for j in range(target.num_images):
        for i in range(0, len(z), AT_ONCE):
            part = z[i : i + AT_ONCE]
            image = tf.repeat(target.images[j : j + 1], len(part), axis=0)
            distortion[i : i + AT_ONCE, j] = measure(tf.constant(part), image)
    found = np.empty((len(betas), 3))
    for i, beta in enumerate(betas):
        logs = log_prior[:, None] - beta * distortion
        log_z = np.logaddexp.reduce(logs, axis=0)
        mean = (np.exp(logs - log_z) * distortion).sum(axis=0)
        found[i] = (-log_z - beta * mean).mean(), mean.mean(), -log_z.mean()
    return found
