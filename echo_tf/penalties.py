"""Penalties on the code: scalars, in the units of the loss, added to it without beta and not part of the rate."""

import math

import keras
from keras import ops

from echo_tf.guards import at_least_float32


@keras.saving.register_keras_serializable(package="echo_tf")
class MaximumMeanDiscrepancy(keras.layers.Layer):
    """weight * MMD^2 between the batch's codes and fresh draws from N(0, I).

    Reference: Zhao, Song and Ermon, "InfoVAE", AAAI 2019; Echo paper, appendix E: kernel exp(-|a - b|^2 / (2 bandwidth^2)),
    biased V-statistic (each mean over all pairs, an example with itself included).

    Args:
        weight: factor (999 in the Echo paper).
        bandwidth: of the Gaussian kernel. None: d / sqrt(2), the Echo paper's 32 / sqrt(2) at 32 latents.
        seed: an integer or None.

    Call arguments:
        code: (B, ..., d).

    Returns (of a call): a scalar.

    Raises:
        ValueError: for a weight below 0 or a bandwidth that is not positive.
    """

    def __init__(self, weight=999.0, bandwidth=None, seed=None, dtype=None, **kwargs):
        super().__init__(dtype=at_least_float32(dtype), **kwargs)
        if not weight >= 0:
            raise ValueError(f"weight must be 0 or more, got {weight!r}.")
        if bandwidth is not None and not bandwidth > 0:
            raise ValueError(f"bandwidth must be positive, got {bandwidth!r}.")
        self.weight, self.bandwidth, self.seed = weight, bandwidth, seed
        self._seeds = keras.random.SeedGenerator(seed)

    def build(self, input_shape):
        pass

    def call(self, code):
        draws = keras.random.normal(ops.shape(code), dtype=self.compute_dtype, seed=self._seeds)
        return self.weight * self.discrepancy(code, draws)

    def compute_output_shape(self, input_shape):
        return ()

    def discrepancy(self, a, b):
        """The squared MMD between samples a and b, both (n, ..., d): a scalar between 0 and 2."""
        a, b = (ops.reshape(x, (-1, math.prod(x.shape[1:]))) for x in (a, b))
        bandwidth = self.bandwidth or a.shape[1] / math.sqrt(2.0)

        def mean_kernel(x, y):
            squared = ops.sum(ops.square(x[:, None] - y[None]), axis=-1)  # a product would round a small bandwidth away
            return ops.mean(ops.exp(squared / (-2.0 * bandwidth**2)))

        return mean_kernel(a, a) + mean_kernel(b, b) - 2.0 * mean_kernel(a, b)

    def get_config(self):
        return {**super().get_config(), "weight": self.weight, "bandwidth": self.bandwidth, "seed": self.seed}
