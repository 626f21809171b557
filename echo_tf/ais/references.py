"""Exact curves, where there are any: what the estimates are held against."""

import warnings
from typing import NamedTuple

import numpy as np

from echo_tf.ais.averages import Exact
from echo_tf.ais.target import Target
from echo_tf.distortions import Gaussian, SquaredError

CELL, PARENTS = 0.02, 300  # side of a cell, and blocks of 2 x 2 cells a side: codes within -6..6
COARSE = 10.0  # up to this beta, such cells are small enough: posteriors of images in [0, 1] are wider
NEGLIGIBLE = 15.0  # nats below the best cell
TOLERATED = 0.1  # nats
AT_ONCE = 20_000


def linear(target: Target, betas: np.ndarray) -> Exact:
    """The curve of a linear decoder under N(0, I) in closed form; see `echo_tf.theory.linear_vae`.

    Raises:
        ValueError: for a decoder that is not one dense layer, another prior, or a distortion that is not quadratic.
    """
    from echo_tf.theory.linear_vae import linear_vae_per_image, linear_vae_squared_error_per_image

    weights = [np.asarray(w, np.float64) for w in getattr(target.decoder, "weights", ())]
    shapes = [w.ndim for w in weights]
    if target.prior is not None or shapes != [2, 1] or not isinstance(target.measure, (Gaussian, SquaredError)):
        raise ValueError("a linear decoder (one dense layer, no activation), N(0, I) and a quadratic distortion are needed.")
    images = np.asarray(target.images, np.float64).reshape(target.num_images, -1)
    if isinstance(target.measure, SquaredError):
        found = linear_vae_squared_error_per_image(weights[0].T, weights[1], images, betas)
    else:
        variance = float(np.exp(np.asarray(target.measure.log_variance)))
        found = linear_vae_per_image(weights[0].T, weights[1], images, betas, variance)
    return Exact(found.distortion, found.log_z_nats)


def grid(target: Target, betas: np.ndarray) -> Exact:
    """The curve of a decoder of two-dimensional codes, by a sum over cells of the plane; raises ValueError for other codes.

    Up to beta 10 these are all cells of a grid; for every further factor of 4 in beta, each cell that still counts is split
    into 4, as posteriors shrink with 1 / sqrt(beta). Warns where they are too narrow for the cells: where two halves of them,
    taken like the squares of a chessboard, disagree.
    """
    if target.latent_dim != 2:
        raise ValueError(f"a grid needs codes of two dimensions, got {target.latent_dim}.")
    evaluated, order = _Evaluation(target), np.argsort(betas)
    axis = (np.arange(PARENTS) + 0.5) * 2 * CELL - PARENTS * CELL
    parents = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    codes = _split(parents, CELL)
    log_prior, distortions = evaluated(codes, range(target.num_images))
    log_prior -= np.logaddexp.reduce(log_prior, axis=None)  # of the cells, whatever the constant
    constant = log_prior.flat[0] - float(target.log_prior(evaluated.tensor(codes[:1, 0]))[0])
    found, worst = np.empty((len(betas), 2, target.num_images)), 0.0
    for j in range(target.num_images):
        cells, size, limit = _Cells(codes, log_prior, distortions[j]), CELL, COARSE
        for i in order:
            while betas[i] > limit:
                kept = cells.codes[cells.count_from(limit)]
                size, limit = size / 2, limit * 4
                children = _split(kept, size)
                log_density, (d,) = evaluated(children, [j])
                cells = _Cells(children, log_density + constant + 2 * np.log(size / CELL), d)
            found[i, 0, j], found[i, 1, j], error = cells.sums(betas[i])
            worst = max(worst, error)
    if worst > TOLERATED:
        said = f"the posteriors are narrow for the cells of the grid: log Z may be wrong by {worst:.2g} nats."
        warnings.warn(said, stacklevel=2)
    return Exact(found[:, 1], found[:, 0])


class _Cells(NamedTuple):
    """Cells of the plane in blocks of four; codes (n, 4, 2), log prior mass (n, 4) and distortion (n, 4) of their centers."""

    codes: np.ndarray
    log_prior: np.ndarray
    distortion: np.ndarray

    def sums(self, beta):
        """(log Z, D, how much log Z of two halves of the cells differ)."""
        logs = self.log_prior - beta * self.distortion
        log_z = np.logaddexp.reduce(logs, axis=None)
        halves = [np.logaddexp.reduce(logs[:, half], axis=None) for half in ([0, 3], [1, 2])]
        return log_z, (np.exp(logs - log_z) * self.distortion).sum(), abs(halves[0] - halves[1]) / 2

    def count_from(self, beta):
        """Which cells can still count at this beta or a higher one, as far as their block tells of what is within a cell."""
        cost = beta * self.distortion - self.log_prior
        inside = beta * (self.distortion.max(1) - self.distortion.min(1))[:, None]
        return cost - inside < cost.min() + NEGLIGIBLE


def _split(centers, size):
    """The centers (n, 4, 2) of the four cells of a size about each center (n, 2)."""
    corners = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]]) * size / 2
    return centers[:, None] + corners


class _Evaluation:
    """Log prior density and distortions of codes (n, 4, 2): (n, 4), and (n, 4) of each of some images."""

    def __init__(self, target):
        import tensorflow as tf

        self.target = target
        self.decoded = tf.function(target.decoded, input_signature=[tf.TensorSpec((None, 2), target.precision)])

    def tensor(self, codes):
        import tensorflow as tf

        return tf.constant(codes, self.target.precision)

    def __call__(self, codes, images):
        import tensorflow as tf

        flat = codes.reshape(-1, 2)
        log_prior, distortions = np.empty(len(flat)), np.empty((len(images), len(flat)))
        for start in range(0, len(flat), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            z = self.tensor(flat[part])
            log_prior[part], output = self.target.log_prior(z), self.decoded(z)
            for row, j in zip(distortions, images):
                row[part] = self.target.measure(tf.repeat(self.target.images[j : j + 1], len(z), axis=0), output)
        return log_prior.reshape(-1, 4), distortions.reshape(-1, *codes.shape[:2])
