"""Penalties on the code: scalars, in the units of the loss, added to it without beta and not part of the rate."""

import math

import keras
from keras import ops

from echo_tf.discriminator import Discriminator
from echo_tf.guards import at_least_float32, require


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


@keras.saving.register_keras_serializable(package="echo_tf")
class TotalCorrelation(keras.layers.Layer):
    """weight * TC(z), the KL divergence from q(z) to the product of its marginals, by the density ratio of a discriminator.

    A `Discriminator` learns, in every training step, to tell codes from codes whose dimensions come from different
    examples; the mean over codes of log D / (1 - D) is then the total correlation in nats. In training, a call is one step of
    both: the encoder gets the gradient of the penalty and the discriminator that of its own loss, neither gets the other's.

    Reference: Kim and Mnih, "Disentangling by Factorising" (FactorVAE), ICML 2018; Echo paper, section 5.3.

    Args:
        weight: gamma; the papers' are 20, 50, 100 here, and 6 to 40 in FactorVAE.
        units: hidden layers of the discriminator.
        learning_rate, beta_1, beta_2: of its Adam (FactorVAE, appendix A; the released Echo code has beta_2 = 0.999).
        permuted: where the dimensions of a permuted code come from. "other_batches": from distinct ones of the last `memory`
            codes of earlier batches, an exact draw from the product of the marginals. "same_batch": from a permutation of the
            batch for each dimension, as in the released code, where two often come from one example.
        memory: codes kept for "other_batches".
        seed: an integer or None.

    Call arguments:
        code: (B, d).
        training: whether the discriminator learns from these codes.

    Returns (of a call): a scalar, in nats if the loss is.

    Raises:
        ValueError: for a weight below 0, another `permuted`, a memory with fewer codes than dimensions, or a batch of one.
    """

    reports = "total_correlation"  # what a model calls value / weight

    def __init__(
        self,
        weight,
        units=(1000,) * 6,
        learning_rate=1e-4,
        beta_1=0.5,
        beta_2=0.9,
        permuted="other_batches",
        memory=256,
        seed=None,
        dtype=None,
        **kwargs,
    ):
        super().__init__(dtype=at_least_float32(dtype), **kwargs)
        if not 0 <= weight < math.inf:
            raise ValueError(f"weight (gamma) must be 0 or more, got {weight!r}.")
        if permuted not in PERMUTED:
            raise ValueError(f"permuted must be one of {', '.join(PERMUTED)}, got {permuted!r}.")
        if not memory >= 1:
            raise ValueError(f"memory must be 1 or more, got {memory!r}.")
        self.weight, self.permuted, self.memory, self.seed = weight, permuted, memory, seed
        self.discriminator = Discriminator(units, learning_rate, beta_1, beta_2, seed, dtype=self.dtype_policy)
        self._seeds = keras.random.SeedGenerator(seed)

    def build(self, input_shape):
        if len(input_shape) != 2:
            raise ValueError(f"TotalCorrelation takes codes (B, d), got the shape {tuple(input_shape)}.")
        latents = input_shape[-1]
        if self.permuted == "other_batches":
            if self.memory < latents:
                raise ValueError(f"memory must hold as many codes as they have dimensions, {latents}, got {self.memory}.")
            kind = {"trainable": False, "aggregation": "only_first_replica"}
            self.kept = self.add_weight((self.memory, latents), "zeros", name="kept", **kind)
        self.discriminator.build(input_shape)

    def call(self, code, training=False):
        code = ops.cast(code, self.compute_dtype)
        require(ops.shape(code)[0] > 1, "a batch of 1 cannot be permuted: the total correlation needs batches of 2 or more.")
        layers = self.discriminator.layers_of(code)
        if training:
            codes = ops.stop_gradient(code)
            self.discriminator.learn(layers, self.discriminator.layers_of(self._permutation(codes)))
        return self.weight * ops.mean(layers[-1][:, 0] - layers[-1][:, 1])

    def compute_output_shape(self, input_shape):
        return ()

    def count_params(self):
        """The number of the discriminator's parameters."""
        return self.discriminator.count_params()

    def _permutation(self, codes):
        """As many codes (B, d) whose dimensions come from different examples; keeps the batch for the next."""
        number, latents = ops.shape(codes)[0], codes.shape[1]
        if self.permuted == "same_batch":
            order = ops.argsort(keras.random.uniform((number, latents), seed=self._seeds), axis=0)
            return ops.take_along_axis(codes, order, axis=0)
        tiled = ops.take(codes, ops.arange(self.memory) % number, axis=0)
        first = self.discriminator.steps == 0
        source = ops.where(first, tiled, ops.convert_to_tensor(self.kept))
        order, shifts = (ops.argsort(keras.random.uniform((self.memory,), seed=self._seeds)) for _ in range(2))
        rows = ops.take(order, (ops.arange(number)[:, None] + shifts[None, :latents]) % self.memory)
        newest = ops.reshape(ops.concatenate([codes, source])[: self.memory], (self.memory, latents))
        self.kept.assign(newest)
        return ops.take_along_axis(source, rows, axis=0)

    def get_config(self):
        own = {name: getattr(self, name) for name in ("weight", "permuted", "memory", "seed")}
        of_discriminator = {name: getattr(self.discriminator, name) for name in ("units", "learning_rate", "beta_1", "beta_2")}
        return {**super().get_config(), **own, **of_discriminator}


PERMUTED = ("other_batches", "same_batch")
