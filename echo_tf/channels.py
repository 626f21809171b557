"""Noise channels: how an encoder's outputs become a noisy code, and what that costs.

A channel is a Keras layer on the encoder's two heads. It names the activations of those heads
(`head_activations`), draws the code (`call`) and measures its rate in nats per example (`rate`).
Echo's rate is exact; that of a parametric channel is measured against a marginal p(z).
"""

import math
from typing import Any, NamedTuple

import keras
from keras import ops

from echo_tf.flows import AutoregressiveFlow
from echo_tf.guards import at_least_float32
from echo_tf.heads import half
from echo_tf.marginals import normal_divergence, normal_log_prob


class Draw(NamedTuple):
    """One draw from a channel.

    code: z, (B, ..., d).
    base: the code before the channel's flow, z0; the code itself where there is none.
    log_det: log |det dz/dz0|, (B,), or 0.
    """

    code: Any
    base: Any
    log_det: Any = 0.0


@keras.saving.register_keras_serializable(package="echo_tf")
class GaussianSample(keras.layers.Layer):
    """Gaussian noise channel: z = loc + exp(log_scale) * N(0, I), the noise of a VAE.

    Reference: Kingma and Welling, "Auto-Encoding Variational Bayes", ICLR 2014, equation 10.

    Args:
        seed: an integer or None.

    Call arguments:
        inputs: `[loc, log_scale]`, both (B, ..., d); log_scale is the log of the standard deviation.

    Input shape: two of (B, ..., d). Output shape: (B, ..., d). Computes in float32 or better.

    Raises:
        ValueError: for inputs that are not two tensors of one shape, which would share noise or be counted in part.
    """

    head_activations = (keras.activations.linear, half)
    needs_marginal = True

    def __init__(self, seed=None, dtype=None, **kwargs):
        super().__init__(dtype=at_least_float32(dtype), **kwargs)
        self.seed = seed
        self._seeds = keras.random.SeedGenerator(seed)

    def call(self, inputs):
        return self.draw(inputs).code

    def compute_output_shape(self, input_shape):
        return tuple(input_shape[0])

    def draw(self, inputs, training=None):
        """A `Draw` of codes."""
        loc, log_scale = self._encodings(inputs)
        noise = keras.random.normal(ops.shape(loc), dtype=self.compute_dtype, seed=self._seeds)
        return self.from_base(loc + ops.exp(log_scale) * noise)

    def from_base(self, base):
        """The `Draw` that a code before the flow becomes."""
        return Draw(base, base)

    def mean(self, inputs):
        """The code of the mean, (B, ..., d): E[z|x], or what the channel's flow makes of it."""
        return self.from_base(self._encodings(inputs)[0]).code

    def log_prob(self, inputs, draw):
        """log q(z|x) of a draw in nats, shape (B,)."""
        return _sum_all(normal_log_prob(draw.base, *self._encodings(inputs))) - draw.log_det

    def negative_entropy(self, inputs):
        """-H(q(z|x)) in nats, shape (B,), in closed form."""
        return -_sum_all(ops.sum(self._encodings(inputs)[1] + 0.5 * math.log(2.0 * math.pi * math.e), axis=-1))

    def rate(self, inputs, draw=None, density=None):
        """KL(q(z|x) || p(z)) in nats, shape (B,): an upper bound, on average, of I(X; Z).

        In closed form under a standard normal p (the default); under another `density` (of a marginal's `given`),
        -H(q(z|x)) - log p(z) at the draw, a sample of its expectation.
        """
        measure = normal_divergence if density is None else getattr(density, "divergence", None)
        if measure is not None:
            return measure(*self._encodings(inputs))
        return self.negative_entropy(inputs) - density.log_prob(draw.code)

    def log_ratio(self, inputs, draw, density):
        """log q(z|x) - log p(z) at the draw, in nats, shape (B,): what importance weights are made of."""
        return self.log_prob(inputs, draw) - density.log_prob(draw.code)

    def generate(self, n, density):
        """n codes of the marginal, (n, ..., d)."""
        return density.sample(n)

    def _encodings(self, inputs):
        if not isinstance(inputs, (list, tuple)) or len(inputs) != 2:
            found = f"{len(inputs)} of them" if isinstance(inputs, (list, tuple)) else type(inputs).__name__
            raise ValueError(
                f"{type(self).__name__} takes [loc, log_scale], two tensors of one shape (B, ..., d), got {found}."
            )
        loc, log_scale = (ops.convert_to_tensor(x, dtype=self.compute_dtype) for x in inputs)
        if tuple(loc.shape) != tuple(log_scale.shape):
            shapes = f"{tuple(loc.shape)} and {tuple(log_scale.shape)}"
            raise ValueError(f"loc and log_scale must have the same shape, (B, ..., d), got {shapes}.")
        return [loc, log_scale]

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


@keras.saving.register_keras_serializable(package="echo_tf")
class FlowSample(GaussianSample):
    """Inverse autoregressive flow (IAF) channel: Gaussian noise, then an invertible map, z = flow(loc + scale * N(0, I)).

    Reference: Kingma et al., "Improved Variational Inference with Inverse Autoregressive Flow", NeurIPS 2016; Echo
    paper, appendix E. TensorFlow only.

    Args:
        num_steps, hidden_units, mean_only, trained: as in `AutoregressiveFlow`.
        seed: an integer or None.

    Call arguments:
        inputs: `[loc, log_scale]`, both (B, d), of z0, the code before the flow.

    Input shape: two of (B, d). Output shape: (B, d). Computes in float32 or better.
    """

    def __init__(
        self, num_steps=2, hidden_units=(640, 640, 640), mean_only=True, trained=True, seed=None, dtype=None, **kwargs
    ):
        super().__init__(seed=seed, dtype=dtype, **kwargs)
        self.flow = AutoregressiveFlow(num_steps, hidden_units, mean_only, trained, dtype=self.dtype_policy)

    def build(self, input_shape):
        self.flow.build(input_shape[0])

    def from_base(self, base):
        code, log_det = self.flow.inverse(base)  # the inverse of an autoregressive flow is one pass of its networks
        return Draw(code, base, log_det)

    def rate(self, inputs, draw, density):
        """log q(z|x) - log p(z) at the draw in nats, shape (B,): a sample of KL(q(z|x) || p(z)).

        A `VampPrior`'s mixture is over z0: log q(z0|x) - log p(z0), the same divergence before an invertible map.
        """
        return self.log_ratio(inputs, draw, density)

    def log_ratio(self, inputs, draw, density):
        if getattr(density, "of_base", False):
            draw = Draw(draw.base, draw.base)
        return self.log_prob(inputs, draw) - density.log_prob(draw.code)

    def generate(self, n, density):
        codes = density.sample(n)
        return self.from_base(codes).code if getattr(density, "of_base", False) else codes

    def get_config(self):
        own = ("num_steps", "hidden_units", "mean_only", "trained")
        return {**super().get_config(), **{name: getattr(self.flow, name) for name in own}}


def _sum_all(x):
    """Sums over all axes but the first."""
    return ops.sum(x, axis=tuple(range(1, len(x.shape)))) if len(x.shape) > 1 else x
