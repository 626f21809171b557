"""Generalized divisive normalization, the activation of learned image codecs, and its inverse, as Keras layers.

References: Balle, Laparra and Simoncelli, "Density Modeling of Images using a Generalized Normalization Transformation",
ICLR 2016, and "End-to-end Optimized Image Compression", ICLR 2017; the network of the isometric VAE paper, appendix D.2, has
both.
"""

import math

import keras
import numpy as np
from keras import ops

from echo_tf import arguments
from echo_tf.guards import at_least_float32

FIRST_OTHERS = 1e-6  # gamma between channels at first: at 0, the square that it is would have no slope


class _Normalization(keras.layers.Layer):
    """What GDN and IGDN share: beta and gamma, both squares of what is trained, so that neither is negative. Computes in
    float32 or better: the square of 300 is beyond float16.

    Args:
        smallest_beta: the lower bound of beta, so that nothing is divided by 0.
        first_gamma: gamma starts as this times the identity, beta as 1.
    """

    def __init__(self, smallest_beta=1e-6, first_gamma=0.1, dtype=None, **kwargs):
        super().__init__(dtype=at_least_float32(dtype), **kwargs)
        for name, value in (("smallest_beta", smallest_beta), ("first_gamma", first_gamma)):
            arguments.number(name, value, "(0, 1)")
        self.smallest_beta, self.first_gamma = smallest_beta, first_gamma

    def build(self, input_shape):
        channels = input_shape[-1]
        if channels is None:
            raise ValueError(f"{type(self).__name__} needs a known number of channels, got the shape {tuple(input_shape)}.")
        first = np.where(np.eye(channels), self.first_gamma, FIRST_OTHERS)
        one = keras.initializers.Constant(math.sqrt(1.0 - self.smallest_beta))
        self.root_beta = self.add_weight((channels,), one, name="root_beta")
        self.root_gamma = self.add_weight(
            (channels, channels), lambda shape, dtype: ops.convert_to_tensor(np.sqrt(first), dtype=dtype), name="root_gamma"
        )

    @property
    def beta(self):
        """beta, (C,), positive."""
        return self.smallest_beta + ops.square(self.root_beta)

    @property
    def gamma(self):
        """gamma, (C, C), not negative; gamma[k, c] is what channel k counts in the norm of channel c."""
        return ops.square(self.root_gamma)

    def norm(self, x):
        """sqrt(beta_c + sum_k gamma_kc x_k^2) of each position and channel, of the shape of x."""
        beta, gamma = (ops.cast(value, x.dtype) for value in (self.beta, self.gamma))
        return ops.sqrt(beta + ops.matmul(ops.square(x), gamma))

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {**super().get_config(), "smallest_beta": self.smallest_beta, "first_gamma": self.first_gamma}


@keras.saving.register_keras_serializable(package="echo_tf")
class GDN(_Normalization):
    """y_c = x_c / sqrt(beta_c + sum_k gamma_kc x_k^2), at every position over its channels.

    Args: as of `_Normalization`: smallest_beta=1e-6, first_gamma=0.1.

    Input and output shape: (B, ..., C).
    """

    def call(self, x):
        return x / self.norm(x)


@keras.saving.register_keras_serializable(package="echo_tf")
class IGDN(_Normalization):
    """y_c = x_c sqrt(beta_c + sum_k gamma_kc x_k^2): GDN's counterpart in decoders, its inverse to first order.

    Args, input and output shape: as of `GDN`.
    """

    def call(self, x):
        return x * self.norm(x)
