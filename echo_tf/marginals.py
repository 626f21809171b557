"""Marginals p(z): the densities that a rate is measured against.

A marginal is a Keras layer with `log_prob(z)` in nats, shape (B,), and `sample(n)`. It is built with
the shape of a code.
"""

import math

import keras
from keras import ops

from echo_tf.guards import at_least_float32


@keras.saving.register_keras_serializable(package="echo_tf")
class StandardNormal(keras.layers.Layer):
    """Standard normal marginal, p(z) = N(0, I): the prior of a VAE.

    Args:
        seed: an integer or None.

    Call arguments:
        z: codes (B, ..., d).

    Input shape: (B, ..., d). Output: log p(z) in nats, shape (B,).
    """

    def __init__(self, seed=None, dtype=None, **kwargs):
        super().__init__(dtype=at_least_float32(dtype), **kwargs)
        self.seed = seed
        self._seeds = keras.random.SeedGenerator(seed)

    def build(self, input_shape):
        self._latent_shape = tuple(input_shape[1:])

    def call(self, z):
        return self.log_prob(z)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape[:1])

    def log_prob(self, z):
        """log p(z) in nats, shape (B,)."""
        z = ops.convert_to_tensor(z, dtype=self.compute_dtype)
        log_density = -0.5 * (ops.square(z) + math.log(2.0 * math.pi))
        return ops.sum(log_density, axis=tuple(range(1, len(z.shape))))

    def sample(self, n):
        """Draws n codes, shape (n, ..., d)."""
        return keras.random.normal((n,) + self._latent_shape, dtype=self.compute_dtype, seed=self._seeds)

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}
