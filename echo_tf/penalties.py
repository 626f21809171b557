"""Penalties on the code: scalars, in the units of the loss, added to it without beta and not part of the rate."""

import math

import keras
from keras import ops

from echo_tf import arguments
from echo_tf.discriminator import Discriminator
from echo_tf.guards import at_least_float32, precise, require


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
        weight = arguments.number("weight", weight)
        bandwidth = None if bandwidth is None else arguments.number("bandwidth", bandwidth, "(0, inf)")
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
        a, b = (ops.reshape(x, (-1, math.prod(x.shape[1:]))) for x in precise(a, b))
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
        permuted: how the dimensions of permuted codes are drawn from the batch. "distinct": each from another example, an
            exact draw from the product of the marginals; FactorVAE takes a second batch for that, which costs a pass
            through the encoder and does not change the expectation of the discriminator's loss. "independent": by a
            permutation for each dimension, as in the released code, where two often come from one example (in half of
            the codes, for 10 dimensions in batches of 64).
        seed: an integer or None.

    Call arguments:
        code: (B, d).
        training: whether the discriminator learns from these codes.

    Returns (of a call): a scalar, in nats if the loss is.

    Raises:
        ValueError: for a weight below 0, another `permuted`, or a batch too small to permute: of one, or for "distinct" of
            fewer examples than codes have dimensions.
    """

    reports = "total_correlation"  # what a model calls value / weight

    def __init__(
        self,
        weight,
        units=(1000,) * 6,
        learning_rate=1e-4,
        beta_1=0.5,
        beta_2=0.9,
        permuted="distinct",
        seed=None,
        dtype=None,
        **kwargs,
    ):
        super().__init__(dtype=at_least_float32(dtype), **kwargs)
        weight = arguments.number("weight (gamma)", weight)
        arguments.choice("permuted", permuted, PERMUTED)
        self.weight, self.permuted, self.seed = weight, permuted, seed
        self.discriminator = Discriminator(units, learning_rate, beta_1, beta_2, seed, dtype=self.dtype_policy)
        self._seeds = keras.random.SeedGenerator(seed)

    def build(self, input_shape):
        if len(input_shape) != 2:
            raise ValueError(f"TotalCorrelation takes codes (B, d), got the shape {tuple(input_shape)}.")
        self.discriminator.build(input_shape)
        # "distinct": with fewer examples, two dimensions of a permuted code would come from one, as they are in the code
        self.smallest_batch = max(2, input_shape[-1] if self.permuted == "distinct" else 2)

    def call(self, code, training=False):
        code = ops.cast(code, self.compute_dtype)
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
        """As many codes (B, d) whose dimensions come from different examples of the batch."""
        number, latents = ops.shape(codes)[0], codes.shape[1]
        said = f"a batch that is permuted needs {self.smallest_batch} examples or more for codes of {latents} dimensions."
        codes = require(number >= self.smallest_batch, said, codes)
        if self.permuted == "independent":
            order = ops.argsort(keras.random.uniform((number, latents), seed=self._seeds), axis=0)
            return ops.take_along_axis(codes, order, axis=0)
        order, shifts = (ops.argsort(keras.random.uniform((number,), seed=self._seeds)) for _ in range(2))
        rows = ops.take(order, (ops.arange(number)[:, None] + shifts[None, :latents]) % number)
        return ops.take_along_axis(codes, rows, axis=0)

    def get_config(self):
        own = {name: getattr(self, name) for name in ("weight", "permuted", "seed")}
        of_discriminator = {name: getattr(self.discriminator, name) for name in ("units", "learning_rate", "beta_1", "beta_2")}
        return {**super().get_config(), **own, **of_discriminator}


PERMUTED = ("distinct", "independent")
