"""Where chains start: at many draws of the prior, weighted for each image, at an inverse temperature of its own.

A few chains that start at one draw of the prior each miss modes of little prior mass, for good. But what a decoder makes of a
draw serves every image, so that many draws cost little. Up to some beta, the *floor* of an image, importance sampling from them
gives log Z better than chains could. There, the chains of the image are drawn from them by their weights; below it they wait.
With floors that other draws have chosen, E[Z] stays exact. Ours: the paper's chains start at the prior.
"""

import numpy as np

from echo_tf.ais.averages import weighed
from echo_tf.ais.sampler import EFFECTIVE
from echo_tf.ais.steps import seed_of
from echo_tf.ais.target import Target
from echo_tf.precision import without_tensor_float_32

NUMBERS = 2e7  # of the decoder's output at once
NEVER = 1e30  # the distortion of a code of which the decoder makes nothing finite: no weight at any beta


class Starts:
    """Draws of the prior, with their distortion from every image.

    Args:
        target: of B images.
        number: of draws, S.
        seed: of the round.

    Attributes:
        codes: (S, k). distortion: (S, B), in its own unit.
    """

    def __init__(self, target: Target, number: int, seed: int):
        self.codes = np.asarray(target.sample_prior(number, seed_of(seed, -3)))
        self.distortion = _distortions(target, self.codes)

    def curve(self, betas: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """(log Z, D, the standard deviation of d, effective draws) of each image at a beta of its own, (B,) each.

        Args:
            betas: (B,).
        """
        log_z, weights, effective = weighed(-betas * self.distortion)
        mean = (weights * self.distortion).sum(axis=0)
        return log_z, mean, (weights * (self.distortion - mean) ** 2).sum(axis=0) ** 0.5, effective

    def floors(self, num_chains: int, highest: float) -> np.ndarray:
        """The floor of each image, (B,): the largest beta, up to `highest`, at which enough draws carry the weight.

        0 for an image that has no such beta: its chains start at the prior.
        """

        def enough(betas):
            return self.curve(betas)[3] >= EFFECTIVE * num_chains

        low, high = (np.full(self.distortion.shape[1], beta) for beta in (highest * 1e-9, highest))
        low[~enough(low)], low[enough(high)] = 0.0, highest
        for _ in range(30):
            middle = (low * high) ** 0.5
            good = enough(middle)
            low, high = np.where(good, middle, low), np.where(good, high, middle)
        return low

    def drawn(self, floors: np.ndarray, num_chains: int, rng: np.random.Generator) -> np.ndarray:
        """Codes of chains, (num_chains, B, k), each image's drawn by their weights at its floor.

        Systematically, in the order of their distortion, so that chains are spread over it as the weights are.
        """
        _, weights, _ = weighed(-floors * self.distortion)
        found = np.empty((num_chains, len(floors), self.codes.shape[1]), self.codes.dtype)
        for j in range(len(floors)):
            order = np.argsort(self.distortion[:, j], kind="stable")
            places = (rng.random() + np.arange(num_chains)) / num_chains
            chosen = np.minimum(np.searchsorted(np.cumsum(weights[order, j]), places), len(order) - 1)
            found[:, j] = self.codes[order[chosen]]
        return found

    def returned(self, floors: np.ndarray, distortion: np.ndarray) -> np.ndarray:
        """log of the mean weight of S draws at the floor, of which one is where a chain back has come to, (M, B).

        If that is an exact draw of the posterior at the floor and S - 1 are draws of the prior, the mean of 1 / (mean weight)
        is 1 / Z exactly: the space in which chains up start, seen from its other end.

        Args:
            floors: (B,). distortion: (M, B), of chains that have come back to their image's floor.

        Reference: Andrieu, Doucet and Holenstein, "Particle Markov chain Monte Carlo methods" (2010), conditional sampling.
        """
        others, _, _ = weighed(-floors * self.distortion[1:])
        number = len(self.codes)
        return np.logaddexp(others + np.log(number - 1), -floors * distortion) - np.log(number)


@without_tensor_float_32()
def _distortions(target, codes):
    """d of every code from every image, (S, B), in as many parts as the memory asks for."""
    import tensorflow as tf

    images, number = target.images, target.num_images
    size = max(1, int(NUMBERS / (number * np.prod(images.shape[1:]))))

    def part(z, images):
        repeats = [tf.shape(z)[0], *[1] * (len(images.shape) - 1)]
        outputs = tf.repeat(target.decoded(z), number, axis=0)
        return tf.reshape(target.measure(tf.tile(images, repeats), outputs), (-1, number))

    run = target.compiled.setdefault(("starts", number), tf.function(part, reduce_retracing=True))
    parts = [run(tf.constant(codes[i : i + size], target.precision), images) for i in range(0, len(codes), size)]
    found = np.concatenate([np.asarray(one, np.float64) for one in parts])
    return np.where(np.isfinite(found), found, NEVER)
