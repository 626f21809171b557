"""Noise channels: how an encoder's outputs become a noisy code, and what that costs.

A channel is a Keras layer on the encoder's two heads. It names the activations of those heads
(`head_activations`), draws the code (`call`) and measures its rate in nats per example (`rate`).
Echo's rate is exact; that of a parametric channel is measured against a marginal p(z).
"""

import math
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from echo_tf.flows import AutoregressiveFlow
from echo_tf.guards import at_least_float32
from echo_tf.marginals import GaussianMixture, StandardNormal, normal_log_prob
from echo_tf.noise import (
    MACHINE_PRECISION,
    SCHEMES,
    check_encodings,
    draw_donors,
    echo_noise,
    exact_clip,
    solve_log_clip,
)

NOISE_SOURCES = ("batch", "pool")


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
def tanh16(x):
    """tanh(x / 16), the paper's activation of the mean f: |f| <= 1 with a wide linear range (appendix B)."""
    return ops.tanh(x / 16.0)


@keras.saving.register_keras_serializable(package="echo_tf")
def half(x):
    """x / 2: makes log_scale of a head that, as in the released Echo code, yields the log variance."""
    return x / 2.0


@keras.saving.register_keras_serializable(package="echo_tf")
class EchoSample(keras.layers.Layer):
    """Echo noise channel: z = loc + scale * noise, the noise drawn from the data itself.

    Stands where a VAE samples its code. Its rate, the mutual information I(X; Z), is exact and
    needs no prior. One clip r, solved from the number of terms really used, multiplies the
    scale in both the sample and the rate: scale = r * sigmoid(a) for log_sigmoid = log sigmoid(a).

    Reference: Brekelmans et al., "Exact Rate-Distortion in Autoencoders via Echo Noise", NeurIPS 2019,
    equations 1-4 and appendix B.

    Args:
        num_terms: terms of the noise sum. None: as many as the batch at hand has other examples, so
            that rate and noise change with the batch size; give a number (the training batch
            size - 1) for a channel that stays the same at any batch size.
        scheme: "permutation", "replacement" or "ring"; see `echo_noise`.
        max_magnitude: the bound M on |loc| that the clip is solved for. The layer does not enforce it.
        clip: the scale's upper bound r; None solves it with `exact_clip`.
        noise_source: "batch" (donors are the batch's other examples, as in the paper) or "pool"
            (donors are the encodings kept by `adapt`).
        multiplicative: if true, z = exp(loc + scale * noise); the rate is the same.
        seed: an integer or None.
        beta: for a Keras model of one's own: the layer adds beta * mean rate to that model's loss, and "rate" (nats per
            example) to what `fit` and `evaluate` report (but not on JAX, where layers cannot keep metrics). None (no
            loss, no report) in a `RateDistortionAutoencoder`, which does both itself.

    Call arguments:
        inputs: `[loc, log_sigmoid]`, both (B, ..., d), log_sigmoid <= 0.

    Input shape: two of (B, ..., d). Output shape: (B, ..., d). Computes in float32 or better.

    Raises:
        ValueError: for arguments out of range, shapes that differ, log_sigmoid above 0, and a batch of
            one without a pool.

    Example:

    >>> channel = EchoSample(num_terms=99)
    >>> z = channel([loc, log_sigmoid])
    >>> loss = distortion + beta * channel.rate([loc, log_sigmoid])

    or, in a functional model:

    >>> z = EchoSample(num_terms=99, beta=0.5)([loc, log_sigmoid])
    """

    head_activations = (tanh16, keras.activations.log_sigmoid)

    def __init__(
        self,
        num_terms=None,
        scheme="permutation",
        max_magnitude=1.0,
        clip=None,
        noise_source="batch",
        multiplicative=False,
        seed=None,
        beta=None,
        dtype=None,
        **kwargs,
    ):
        super().__init__(dtype=at_least_float32(dtype), **kwargs)
        for name, value, allowed in (("scheme", scheme, SCHEMES), ("noise_source", noise_source, NOISE_SOURCES)):
            if value not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}.")
        if clip is not None and not 0 < clip < 1:
            raise ValueError(f"clip must lie between 0 and 1, got {clip!r}.")
        if beta is not None and not beta >= 0:
            raise ValueError(f"beta must be 0 or more, got {beta!r}.")
        exact_clip(1 if num_terms is None else num_terms, max_magnitude)
        self.num_terms = None if num_terms is None else int(num_terms)
        self.scheme = scheme
        self.max_magnitude = max_magnitude
        self.clip = clip
        self.noise_source = noise_source
        self.multiplicative = multiplicative
        self.seed = seed
        self.beta = beta
        reports = beta is not None and keras.backend.backend() != "jax"
        self._rate_metric = keras.metrics.Mean(name="rate") if reports else None
        self._seeds = keras.random.SeedGenerator(seed)
        self._pool = None
        self._latent_shape = self._built_batch_size = None

    def build(self, input_shape):
        loc_shape, _ = self._check_shapes(input_shape)
        self._built_batch_size, self._latent_shape = loc_shape[0], tuple(loc_shape[1:])

    def call(self, inputs):
        loc, log_sigmoid = inputs
        check_encodings(loc, log_sigmoid)
        if self.beta is not None:
            rate = self.rate(inputs)
            self.add_loss(self.beta * ops.mean(rate))
            if self._rate_metric is not None:
                self._rate_metric.update_state(rate)
        num_terms, log_clip = self._terms(loc)
        log_scale = log_clip + log_sigmoid

        def from_pool():
            return self._pool_noise(ops.shape(loc)[0], num_terms, log_clip)

        def from_batch():
            return echo_noise(loc, log_scale, num_terms, self.scheme, seed=self._seeds)

        if self._pool is not None and self.noise_source == "batch" and loc.shape[0] is None:
            noise = ops.cond(ops.shape(loc)[0] == 1, from_pool, from_batch)  # which it is shows when the graph runs
        else:
            noise = from_pool() if self._uses_pool(loc) else from_batch()
        z = loc + ops.exp(log_scale) * noise
        return ops.exp(z) if self.multiplicative else z

    def compute_output_shape(self, input_shape):
        return tuple(self._check_shapes(input_shape)[0])

    def draw(self, inputs):
        """A `Draw` of codes."""
        code = self(inputs)
        return Draw(code, code)

    def rate(self, inputs):
        """Pointwise information -sum_j (log clip + log_sigmoid_j) in nats, shape (B,); its mean is I(X; Z) (equation 4)."""
        if any(keras.utils.is_keras_tensor(x) for x in inputs):
            raise ValueError(
                "rate takes tensors, got the placeholders of a functional model: there, EchoSample(beta=...) adds its rate to "
                "the model's loss; or call rate within a layer."
            )
        loc, log_sigmoid = (ops.convert_to_tensor(x, dtype=self.compute_dtype) for x in inputs)
        check_encodings(loc, log_sigmoid)
        log_scale = self._terms(loc)[1] + log_sigmoid
        return -ops.sum(log_scale, axis=tuple(range(1, len(loc.shape))))

    @property
    def rate_floor(self):
        """-d log clip: the lowest rate that the channel can have, in nats (appendix B, "Low Rate Limit")."""
        if self._latent_shape is None:
            raise ValueError("rate_floor depends on the size of the code: call the layer, or `adapt` it, first.")
        num_terms = self._num_terms_at(self._built_batch_size)
        if num_terms is None and self.clip is None:
            raise ValueError("rate_floor depends on the number of terms: give EchoSample num_terms or clip.")
        return -math.prod(self._latent_shape) * math.log(self.clip or exact_clip(num_terms, self.max_magnitude))

    def adapt(self, encodings):
        """Keeps `encodings` = [loc, log_sigmoid] (P, ..., d), as the layer gets them, as a pool of donors.

        A single example can then be encoded, `noise_source="pool"` and `sample_marginal` work, and
        the pool is saved with the layer. Functions compiled before do not see a pool changed after.
        """
        pool = [np.array(ops.convert_to_numpy(x), dtype=self.compute_dtype) for x in encodings]
        check_encodings(*pool)
        if len(pool[0]) < 1:
            raise ValueError("adapt needs at least one encoding, got none.")
        if not self.built:
            self.build([(None,) + x.shape[1:] for x in pool])
        self._pool = pool

    def sample_marginal(self, n):
        """Draws n codes, shape (n, ..., d), from q(z), which is the law of the noise itself (lemma 2.1). Needs `adapt`."""
        if self._pool is None:
            raise ValueError("sample_marginal draws from the encodings of training data: call `adapt(encodings)` first.")
        noise = self._pool_noise(n, *self._terms(None))
        return ops.exp(noise) if self.multiplicative else noise

    def _check_shapes(self, input_shape):
        shapes = [tuple(s) for s in input_shape] if len(input_shape) == 2 and not isinstance(input_shape[0], int) else []
        if len(shapes) != 2 or shapes[0] != shapes[1] or len(shapes[0]) < 2:
            raise ValueError(
                f"EchoSample takes [loc, log_sigmoid], two tensors of one shape (B, ..., d), got shape(s) {input_shape}."
            )
        return shapes

    def _uses_pool(self, loc):
        if self.noise_source == "pool" and self._pool is None:
            raise ValueError('noise_source="pool" needs a pool: call `adapt(encodings)` first.')
        return self._pool is not None and (self.noise_source == "pool" or loc.shape[0] == 1)

    def _num_terms_at(self, batch_size):
        if self.num_terms is not None or batch_size is None:
            return self.num_terms
        return batch_size - 1

    def _terms(self, loc):
        """The number of terms and log clip for this batch (None: for draws from the pool): numbers where they can be known."""
        if self.num_terms is not None:
            num_terms = self.num_terms
        elif loc is None or self._uses_pool(loc):
            num_terms = self._num_terms_of_pool()
        else:
            num_terms = ops.shape(loc)[0] - 1
            if self._pool is not None and loc.shape[0] is None:
                num_terms = ops.where(num_terms == 0, self._num_terms_of_pool(), num_terms)
        if self.clip is not None:
            return num_terms, math.log(self.clip)
        if isinstance(num_terms, int):
            return num_terms, math.log(exact_clip(max(num_terms, 1), self.max_magnitude))
        log_ratio = math.log(self.max_magnitude / MACHINE_PRECISION)
        at_least_one = ops.cast(ops.maximum(num_terms, 1), self.compute_dtype)
        return num_terms, solve_log_clip(at_least_one, log_ratio, ops)

    def _num_terms_of_pool(self):
        """A pool has no natural number of terms: it keeps that of the batch which the layer was built with."""
        return min(len(self._pool[0]), (self._built_batch_size or np.inf) - 1) or 1

    def _pool_noise(self, n, num_terms, log_clip):
        loc, log_sigmoid = (ops.convert_to_tensor(x) for x in self._pool)
        donors = draw_donors(n, num_terms, len(self._pool[0]), self.scheme, self._seeds)
        return echo_noise(loc, log_clip + log_sigmoid, indices=donors)

    def save_own_variables(self, store):
        super().save_own_variables(store)
        if self._pool is not None:
            store["pool_loc"], store["pool_log_sigmoid"] = self._pool

    def load_own_variables(self, store):
        if "pool_loc" in store:
            self.adapt([store["pool_loc"][...], store["pool_log_sigmoid"][...]])

    def get_config(self):
        own = ("num_terms", "scheme", "max_magnitude", "clip", "noise_source", "multiplicative", "seed", "beta")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


@keras.saving.register_keras_serializable(package="echo_tf")
class GaussianSample(keras.layers.Layer):
    """Gaussian noise channel: z = loc + exp(log_scale) * N(0, I), the noise of a VAE.

    Reference: Kingma and Welling, "Auto-Encoding Variational Bayes", ICLR 2014, equation 10.

    Args:
        seed: an integer or None.

    Call arguments:
        inputs: `[loc, log_scale]`, both (B, ..., d); log_scale is the log of the standard deviation.

    Input shape: two of (B, ..., d). Output shape: (B, ..., d). Computes in float32 or better.
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

    def draw(self, inputs):
        """A `Draw` of codes."""
        loc, log_scale = self._encodings(inputs)
        noise = keras.random.normal(ops.shape(loc), dtype=self.compute_dtype, seed=self._seeds)
        return self.from_base(loc + ops.exp(log_scale) * noise)

    def from_base(self, base):
        """The `Draw` that a code before the flow becomes."""
        return Draw(base, base)

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
        if density is None or isinstance(density, StandardNormal):
            loc, log_scale = self._encodings(inputs)
            divergence = 0.5 * (ops.exp(2.0 * log_scale) + ops.square(loc) - 1.0) - log_scale
            return _sum_all(ops.sum(divergence, axis=-1))
        return self.negative_entropy(inputs) - density.log_prob(draw.code)

    def log_ratio(self, inputs, draw, density):
        """log q(z|x) - log p(z) at the draw, in nats, shape (B,): what importance weights are made of."""
        return self.log_prob(inputs, draw) - density.log_prob(draw.code)

    def generate(self, n, density):
        """n codes of the marginal, (n, ..., d)."""
        return density.sample(n)

    def _encodings(self, inputs):
        return [ops.convert_to_tensor(x, dtype=self.compute_dtype) for x in inputs]

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
        if isinstance(density, GaussianMixture):
            draw = Draw(draw.base, draw.base)
        return self.log_prob(inputs, draw) - density.log_prob(draw.code)

    def generate(self, n, density):
        codes = density.sample(n)
        return self.from_base(codes).code if isinstance(density, GaussianMixture) else codes

    def get_config(self):
        own = ("num_steps", "hidden_units", "mean_only", "trained")
        return {**super().get_config(), **{name: getattr(self.flow, name) for name in own}}


def _sum_all(x):
    """Sums over all axes but the first."""
    return ops.sum(x, axis=tuple(range(1, len(x.shape)))) if len(x.shape) > 1 else x
