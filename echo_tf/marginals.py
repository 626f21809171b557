"""Marginals p(z): the densities that a rate is measured against.

A marginal is a Keras layer. `given(encoder)` is its density: something with `log_prob(z)` in nats, shape (B,), and
`sample(n)`. For all but the VampPrior, whose density is made of the encoder's outputs, that is the layer itself.

A density may also have `divergence(loc, log_scale)`, KL(N(loc, scale) || p) of diagonal Gaussians where that is known in closed
form; and `of_base`, true if it is over the code before the channel's flow. A marginal with `of_examples` is built for the shape
of the examples in place of the codes'.
"""

import math

import keras
import numpy as np
from keras import ops

from echo_tf import arguments
from echo_tf.flows import AutoregressiveFlow
from echo_tf.guards import at_least_float32

LOG_2_PI = math.log(2.0 * math.pi)


def normal_log_prob(z, loc, log_scale):
    """log N(z; loc, diag exp(2 log_scale)) in nats, summed over the last axis."""
    return ops.sum(-0.5 * (ops.square((z - loc) * ops.exp(-log_scale)) + LOG_2_PI) - log_scale, axis=-1)


def normal_divergence(loc, log_scale):
    """KL(N(loc, diag exp(2 log_scale)) || N(0, I)) in nats, (B, ..., d) -> (B,)."""
    values = 0.5 * (ops.exp(2.0 * log_scale) + ops.square(loc) - 1.0) - log_scale
    return ops.sum(values, axis=tuple(range(1, len(values.shape))))


class GaussianMixture:
    """A mixture of Gaussians with diagonal covariances and equal weights.

    Args:
        loc, log_scale: of the K components, (K, ..., d).
        density: "mixture", or "mean_of_logs" for the mean over k of log N_k in the place of the log of their mean.
        seeds: a `keras.random.SeedGenerator`.
    """

    of_base = True

    def __init__(self, loc, log_scale, density, seeds):
        self.loc, self.log_scale, self.density, self._seeds = loc, log_scale, density, seeds

    def log_prob(self, z):
        """log p(z) in nats, z (B, ..., d) -> (B,)."""
        z, loc, log_scale = (ops.reshape(x, (-1, math.prod(self.loc.shape[1:]))) for x in (z, self.loc, self.log_scale))
        each = normal_log_prob(z[:, None], loc[None], log_scale[None])
        if self.density == "mean_of_logs":
            return ops.mean(each, axis=1)
        return ops.logsumexp(each, axis=1) - ops.log(ops.cast(ops.shape(self.loc)[0], each.dtype))

    def sample(self, n):
        """Draws n codes, (n, ..., d)."""
        chosen = keras.random.randint((n,), 0, ops.shape(self.loc)[0], seed=self._seeds)
        loc, log_scale = ops.take(self.loc, chosen, axis=0), ops.take(self.log_scale, chosen, axis=0)
        return loc + ops.exp(log_scale) * keras.random.normal(ops.shape(loc), dtype=loc.dtype, seed=self._seeds)


class Density(keras.layers.Layer):
    """A marginal that is a density by itself: calling it gives log p(z), in float32 or better."""

    of_examples = False

    def __init__(self, dtype=None, **kwargs):
        super().__init__(dtype=at_least_float32(dtype), **kwargs)

    def given(self, encoder):
        return self

    def call(self, z):
        return self.log_prob(z)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape[:1])


@keras.saving.register_keras_serializable(package="echo_tf")
class StandardNormal(Density):
    """Standard normal marginal, p(z) = N(0, I): the prior of a VAE.

    Args:
        seed: an integer or None.

    Call arguments:
        z: codes (B, ..., d).

    Input shape: (B, ..., d). Output: log p(z) in nats, shape (B,).
    """

    def __init__(self, seed=None, dtype=None, **kwargs):
        super().__init__(dtype, **kwargs)
        self.seed = seed
        self._seeds = keras.random.SeedGenerator(seed)

    def build(self, input_shape):
        self._latent_shape = tuple(input_shape[1:])

    def log_prob(self, z):
        """log p(z) in nats, shape (B,)."""
        z = ops.convert_to_tensor(z, dtype=self.compute_dtype)
        return ops.sum(-0.5 * (ops.square(z) + LOG_2_PI), axis=tuple(range(1, len(z.shape))))

    def divergence(self, loc, log_scale):
        return normal_divergence(loc, log_scale)

    def sample(self, n):
        """Draws n codes, shape (n, ..., d)."""
        return keras.random.normal((n,) + self._latent_shape, dtype=self.compute_dtype, seed=self._seeds)

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


@keras.saving.register_keras_serializable(package="echo_tf")
class FlowMarginal(Density):
    """Masked autoregressive flow (MAF) on a standard normal: a marginal that is learned.

    Reference: Papamakarios et al., NeurIPS 2017; Echo paper, appendix E. TensorFlow only.

    Args:
        num_steps, hidden_units, mean_only, trained: as in `AutoregressiveFlow`.
        seed: of `sample`, an integer or None.

    Call arguments:
        z: codes (B, d).

    Input shape: (B, d). Output: log p(z) in nats, shape (B,).
    """

    def __init__(
        self, num_steps=2, hidden_units=(640, 640, 640), mean_only=True, trained=True, seed=None, dtype=None, **kwargs
    ):
        super().__init__(dtype, **kwargs)
        self.flow = AutoregressiveFlow(num_steps, hidden_units, mean_only, trained, dtype=self.dtype_policy)
        self.base = StandardNormal(seed, dtype=self.dtype_policy)
        self.seed = seed

    def build(self, input_shape):
        self.flow.build(input_shape)
        self.base.build(input_shape)

    def log_prob(self, z):
        """log p(z) in nats, shape (B,)."""
        base, log_det = self.flow.inverse(ops.convert_to_tensor(z, dtype=self.compute_dtype))
        return self.base.log_prob(base) + log_det

    def sample(self, n):
        """Draws n codes, shape (n, d)."""
        return self.flow.forward(self.base.sample(n))

    def get_config(self):
        own = ("num_steps", "hidden_units", "mean_only", "trained")
        return {**super().get_config(), **{name: getattr(self.flow, name) for name in own}, "seed": self.seed}


DENSITIES = ("mixture", "mean_of_logs")
STARTS = ("training_images", "mean_image")


@keras.saving.register_keras_serializable(package="echo_tf")
class VampPrior(keras.layers.Layer):
    """Variational mixture of posteriors: p(z) = mean_k q(z | u_k) over learned pseudo-inputs u_k.

    Reference: Tomczak and Welling, "VAE with a VampPrior", AISTATS 2018, equation 9; Echo paper, appendix E
    (750 pseudo-inputs). Under an IAF encoder the mixture is over z0, the code before the flow.

    Args:
        num_pseudo_inputs: K.
        density: "mixture", the log of the mean density; or "mean_of_logs", the mean of the log densities, which is
            no mixture and what the released Echo code computes.
        start: where `start_from` puts the pseudo-inputs: "training_images" (distinct ones; they then stay within
            [0, 1]), or "mean_image" (all at the mean image and free, as in the released Echo code: they get
            identical gradients and stay identical).
        seed: an integer or None.

    Input shape (of `build`): that of the examples, (B, ...).
    """

    of_examples = True

    def __init__(self, num_pseudo_inputs=750, density="mixture", start="training_images", seed=None, dtype=None, **kwargs):
        super().__init__(dtype=at_least_float32(dtype), **kwargs)
        num_pseudo_inputs = arguments.integer("num_pseudo_inputs", num_pseudo_inputs)
        for name, value, allowed in (("density", density, DENSITIES), ("start", start, STARTS)):
            arguments.choice(name, value, allowed)
        self.num_pseudo_inputs, self.density, self.start, self.seed = num_pseudo_inputs, density, start, seed
        self._seeds = keras.random.SeedGenerator(seed)

    def build(self, input_shape):
        self.pseudo_inputs = self.add_weight(
            shape=(self.num_pseudo_inputs, *input_shape[1:]),
            initializer=keras.initializers.RandomUniform(0.0, 1.0, seed=self.seed),
            constraint=UnitInterval() if self.start == "training_images" else None,
            name="pseudo_inputs",
        )

    def start_from(self, examples):
        """Puts the pseudo-inputs where `start` says, given training examples (n, ...) in [0, 1].

        Raises:
            ValueError: for fewer examples than pseudo-inputs.
        """
        if len(examples) < self.num_pseudo_inputs:
            raise ValueError(f"{self.num_pseudo_inputs} pseudo-inputs need as many training examples, got {len(examples)}.")
        if self.start == "mean_image":
            self.pseudo_inputs.assign(np.broadcast_to(np.mean(examples, axis=0), self.pseudo_inputs.shape))
        else:
            chosen = np.random.default_rng(self.seed).permutation(len(examples))[: self.num_pseudo_inputs]
            self.pseudo_inputs.assign(examples[chosen])

    def given(self, encoder):
        """The mixture of the encoder's Gaussians at the pseudo-inputs, a `GaussianMixture`."""
        loc, log_scale = (ops.cast(head, self.compute_dtype) for head in encoder(ops.convert_to_tensor(self.pseudo_inputs)))
        return GaussianMixture(loc, log_scale, self.density, self._seeds)

    def get_config(self):
        own = ("num_pseudo_inputs", "density", "start", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


@keras.saving.register_keras_serializable(package="echo_tf")
class UnitInterval(keras.constraints.Constraint):
    """Keeps weights within [0, 1], the range of the data."""

    def __call__(self, weights):
        return ops.clip(weights, 0.0, 1.0)
