"""Small decoders whose curves are known: a linear one in closed form, one of two-dimensional codes by a sum over a grid."""

import keras
import numpy as np

from echo_tf.ais import Target
from echo_tf.distortions import Gaussian

BETTER = {"transition": "persistent", "leapfrog_steps": 1, "memory": 0.95, "acceptance": 0.9}


def dense(sizes, activations, weights=None, dtype="float32"):
    layers = [keras.layers.Dense(n, a, dtype=dtype) for n, a in zip(sizes[1:], activations)]
    model = keras.Sequential([keras.Input((sizes[0],), dtype=dtype), *layers])
    rng = np.random.default_rng(1)
    model.set_weights(weights or [rng.normal(size=w.shape) for w in model.weights])
    return model


class Linear:
    """x = W z + b + N(0, I), 8 latents of which 4 matter, 4 images of 30 pixels drawn from it."""

    def __init__(self, latents=8, pixels=30, images=4, scales=(4.0, 2.0, 1.0, 0.5)):
        rng = np.random.default_rng(0)
        left = np.linalg.qr(rng.normal(size=(pixels, latents)))[0]
        self.weights = left * np.append(scales, np.full(latents - len(scales), 1e-3))
        self.bias = rng.normal(size=pixels)
        z = rng.normal(size=(images, latents))
        self.images = z @ self.weights.T + self.bias + rng.normal(size=(images, pixels))

    def decoder(self, dtype="float64"):
        return dense(self.weights.T.shape, ["linear"], [self.weights.T, self.bias], dtype)

    def target(self, precision="float64", **more):
        return Target(self.decoder(), self.images, distortion=Gaussian(variance=1.0), precision=precision, **more)

    def exact(self, betas):
        """log Z and the mean distortion of each image, (R, B) each, by dense linear algebra."""
        pixels, latents = self.weights.shape
        log_z, distortion = [], []
        for beta in betas:
            r = self.images - self.bias
            precision = np.eye(latents) + beta * self.weights.T @ self.weights
            mean = beta * np.linalg.solve(precision, self.weights.T @ r.T).T
            cov = np.linalg.inv(precision)
            error = r - mean @ self.weights.T
            d = 0.5 * pixels * np.log(2 * np.pi) + 0.5 * ((error**2).sum(1) + np.trace(self.weights @ cov @ self.weights.T))
            rate = 0.5 * (np.trace(cov) + (mean**2).sum(1) - latents - np.linalg.slogdet(cov)[1])
            log_z.append(-rate - beta * d)
            distortion.append(d)
        return np.array(log_z), np.array(distortion)


def finished(annealing):
    while not annealing.finished:
        annealing.advance()
    return annealing
