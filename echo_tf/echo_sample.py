"""Echo noise as a Keras layer: the channel, its exact rate, its pool of training encodings and its standardized code."""

import math
import warnings

import keras
import numpy as np
from keras import ops

from echo_tf import arguments
from echo_tf.channels import Draw
from echo_tf.guards import at_least_float32, values_of
from echo_tf.heads import UNBOUNDED, activation_of, refuse_above_0, tanh16
from echo_tf.noise import (
    MACHINE_PRECISION,
    SCHEMES,
    check_encodings,
    draw_donors,
    echo_noise,
    exact_clip,
    solve_log_clip,
)
from echo_tf.standardization import Standardization
from echo_tf.total_rate import TotalRate, add_to_total

NOISE_SOURCES = ("batch", "pool")
SMALLEST_MISSED = 1e-6  # how much terms that repeat donors may weigh together before a warning


@keras.saving.register_keras_serializable(package="echo_tf")
class EchoSample(keras.layers.Layer):
    """Echo noise channel: z = loc + scale * noise, the noise drawn from the data itself.

    Stands where a VAE samples its code. Its rate, the mutual information I(X; Z), is exact for a source whose code has a
    density, and needs no prior. (Of n points I <= log n, and a code of constant or duplicated dimensions has no density;
    the formula knows neither.) One clip r, solved from the number of terms really used, multiplies the
    scale in both the sample and the rate: scale = r * sigmoid(a) for log_sigmoid = log sigmoid(a).

    Reference: Brekelmans et al., "Exact Rate-Distortion in Autoencoders via Echo Noise", NeurIPS 2019,
    equations 1-4 and appendix B. `standardize` is data-dependent initialization (Salimans and Kingma, NeurIPS 2016; ActNorm
    of Kingma and Dhariwal, NeurIPS 2018).

    Args:
        num_terms: terms of the noise sum. None: as many as the batch at hand has other examples, so
            that rate and noise change with the batch size; give a number (the training batch
            size - 1) for a channel that stays the same at any batch size.
        scheme: "permutation", "replacement" or "ring"; see `echo_noise`, also for what repeated donors cost.
        max_magnitude: the bound M on |loc| that the clip is solved for. The layer does not enforce it: it warns of a head
            that is not bounded when the model is made, and of values above M outside graphs (`adapt`, the first batch of
            an autoencoder's `fit`), which costs a compiled step nothing.
        clip: the scale's upper bound r; None solves it with `exact_clip`.
        noise_source: "batch" (donors are the batch's other examples, as in the paper) or "pool"
            (donors are the encodings kept by `adapt`).
        multiplicative: if true, z = exp(loc + scale * noise); the rate is the same.
        seed: an integer or None.
        beta: for a Keras model of one's own: the layer adds beta * mean rate to that model's loss, and "rate" (nats per
            example, the total of all such layers of the model) to what `fit` and `evaluate` report (but not on JAX, where
            layers cannot keep metrics). None (no loss, no report) in a `RateDistortionAutoencoder`, which does both itself.
            Under a `tf.distribute` strategy the noise of a replica comes from its own part of the batch.
        standardize: if true, hands on (z - mean) / standard deviation. `tanh16` and the untrained networks before it leave
            codes of a standard deviation of 0.03 or 0.0005, which a decoder takes long to see. The two are measured over
            the first training batch, of 9 examples or more (or by `start_from`), per latent dimension, of a spatial code per
            channel; until then the code passes as it is, from then on the map is fixed, saved, and part of all that draws
            codes. No gradient flows through them; an invertible map changes no information, so the rate is the same.

    Call arguments:
        inputs: `[loc, log_sigmoid]`, both (B, ..., d), log_sigmoid <= 0.
        training: whether this is a training batch, which Keras says by itself in `fit`.

    Input shape: two of (B, ..., d). Output shape: (B, ..., d). Computes in float32 or better.

    Raises:
        ValueError: for arguments out of range, inputs that are not two floating-point tensors of one shape (B, ..., d), an
            empty batch, log_sigmoid above 0 or from a head that does not keep it below, and a batch of one without a pool.

    Example:

    >>> loc, log_sigmoid = keras.random.uniform((100, 8), -1, 1), keras.ops.full((100, 8), -1.0)
    >>> channel = EchoSample(num_terms=99, standardize=True)
    >>> channel([loc, log_sigmoid], training=True).shape
    TensorShape([100, 8])
    >>> rate = channel.rate([loc, log_sigmoid])  # nats, for loss = distortion + beta * rate
    >>> print(f"{float(rate[0]):.3f}, at least {channel.rate_floor:.3f}")
    9.434, at least 1.434

    or, in a functional model:

    >>> x = keras.Input((20,))
    >>> heads = keras.layers.Dense(8, tanh16)(x), keras.layers.Dense(8, "log_sigmoid")(x)
    >>> z = EchoSample(num_terms=99, standardize=True, beta=0.5)(list(heads))
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
        standardize=False,
        dtype=None,
        **kwargs,
    ):
        super().__init__(dtype=at_least_float32(dtype), **kwargs)
        for name, value, allowed in (("scheme", scheme, SCHEMES), ("noise_source", noise_source, NOISE_SOURCES)):
            arguments.choice(name, value, allowed)
        for name, value in (("multiplicative", multiplicative), ("standardize", standardize)):
            arguments.flag(name, value)
        clip = None if clip is None else arguments.number("clip", clip, "(0, 1)")
        beta = None if beta is None else arguments.number("beta", beta)  # of a variable, what it is now
        max_magnitude = arguments.number("max_magnitude", max_magnitude, "(0, inf)")
        exact_clip(1 if num_terms is None else num_terms, max_magnitude)
        self.num_terms = None if num_terms is None else int(num_terms)
        self.scheme = scheme
        self.max_magnitude = max_magnitude
        self.clip = clip
        self.noise_source = noise_source
        self.multiplicative = multiplicative
        self.seed = seed
        self.beta = beta
        self.standardize = standardize
        reports = beta is not None and keras.backend.backend() != "jax"
        self.rate_metric = TotalRate() if reports else None
        if beta is not None and keras.backend.backend() == "tensorflow":
            self.supports_jit = False  # XLA drops the checks of a graph: a last batch of one would turn the weights to NaN
        self.standardization = Standardization(dtype=self.dtype_policy, name="standardization") if standardize else None
        self._seeds = keras.random.SeedGenerator(seed)
        self._pool = self._recorded = None
        self._warned = set()
        self._latent_shape = self._built_batch_size = None

    def __call__(self, inputs, *args, **kwargs):
        if isinstance(inputs, (list, tuple)) and len(inputs) == 2 and all(map(keras.utils.is_keras_tensor, inputs)):
            self.check_heads(*inputs)
        return super().__call__(inputs, *args, **kwargs)

    def check_heads(self, loc, log_sigmoid):
        """Refuses a scale head (a symbolic tensor) that may be above 0, and warns of a loc head that has no bound."""
        refuse_above_0(log_sigmoid)
        loc_head = activation_of(loc)
        if loc_head in UNBOUNDED and self.clip is None:
            self._warn(
                "head",
                f"the encoder's loc head ends in the activation {loc_head!r}, which may leave "
                f"|loc| <= max_magnitude = {self.max_magnitude:g}; the noise is then cut off too early and the rate is not "
                "exact: end the head in echo_tf.tanh16, or give another max_magnitude, or the clip.",
            )

    def build(self, input_shape):
        loc_shape, _ = self._check_shapes(input_shape)
        self._built_batch_size, self._latent_shape = loc_shape[0], tuple(loc_shape[1:])
        if self.standardization is not None:
            self.standardization.build(loc_shape)

    def call(self, inputs, training=None):
        loc, log_sigmoid = self._encodings(inputs)
        if self._recorded is not None:
            self._recorded.append([ops.convert_to_numpy(x) for x in (loc, log_sigmoid)])
        self._notice_magnitude(loc)
        num_terms, log_clip = self._terms(loc)
        log_scale = log_clip + log_sigmoid
        if self.beta is not None:
            self._charge(_pointwise_rate(log_scale))

        def from_pool():
            return self._pool_noise(ops.shape(loc)[0], num_terms, log_clip)

        def from_batch():
            return echo_noise(loc, log_scale, num_terms, self.scheme, seed=self._seeds)

        if self._pool is not None and self.noise_source == "batch" and loc.shape[0] is None:
            noise = ops.cond(ops.shape(loc)[0] == 1, from_pool, from_batch)  # which it is shows when the graph runs
        else:
            noise = from_pool() if self._uses_pool(loc) else from_batch()
        code = self._exponentiated(loc + ops.exp(log_scale) * noise)
        if self.standardization is not None and training:
            self.standardization.measure_once(code)
        return self._mapped(code)

    def compute_output_shape(self, input_shape):
        return tuple(self._check_shapes(input_shape)[0])

    def count_params(self):
        """0: Echo noise has no parameters. What `standardize` keeps is measured, not learned."""
        return 0

    def draw(self, inputs, training=None):
        """A `Draw` of codes."""
        code = self(inputs) if training is None else self(inputs, training=training)  # Keras takes None for a False
        return Draw(code, code)

    def mean(self, inputs):
        """E[z|x] = loc + scale * E[noise], (B, ..., d), mapped as codes are; of exp z the exponential of that.

        E[noise] = E[loc] / (1 - E[scale]), the fixed point of noise = loc + scale * noise, over the pool or, without one,
        over the given encodings.
        """
        loc, log_sigmoid = self._encodings(inputs)
        if self._pool is None and loc.shape[0] == 1:
            raise ValueError("the mean of the noise is over other examples, and a batch of 1 has none: call `adapt` first.")
        log_clip = self._terms(loc)[1]
        donors = self._encodings(self._pool or inputs)
        mean_loc, mean_scale = ops.mean(donors[0], axis=0), ops.mean(ops.exp(log_clip + donors[1]), axis=0)
        return self._mapped(self._exponentiated(loc + ops.exp(log_clip + log_sigmoid) * mean_loc / (1.0 - mean_scale)))

    def rate(self, inputs):
        """The pointwise rate -sum_j (log clip + log_sigmoid_j) = -sum_j log s_j(x) in nats, shape (B,) (equation 4).

        Its *mean* over examples is the mutual information I(X; Z). Of a single example it is no KL divergence from
        q(z|x) to q(z), whose mean is I(X; Z) as well.
        """
        if any(keras.utils.is_keras_tensor(x) for x in inputs):
            raise ValueError(
                "rate takes tensors, got the placeholders of a functional model: there, EchoSample(beta=...) adds its rate to "
                "the model's loss; or call rate within a layer."
            )
        loc, log_sigmoid = self._encodings(inputs)
        return _pointwise_rate(self._terms(loc)[1] + log_sigmoid)

    def check_training(self, batch_size):
        """Raises ValueError for training batches that a standardized code cannot be measured on, and warns as
        `check_batch_size`."""
        if self.standardization is not None:
            self.standardization.check_batch_size(batch_size)
        self.check_batch_size(batch_size)

    @property
    def smallest_batch(self):
        """How many examples a training batch must have: noise from the batch is made of other examples."""
        return 2 if self.noise_source == "batch" else 1

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
        the pool is saved with the layer (but a clone, made of the settings alone, has none). Functions compiled before do
        not see a pool changed after: `echo_tf.adapt` and `RateDistortionAutoencoder.adapt` see to that.
        """
        self.check_encodings(encodings)
        if not all(np.isfinite(ops.convert_to_numpy(x)).all() for x in encodings):
            raise ValueError("adapt takes encodings of finite numbers, got NaN or infinity among them.")
        pool = [np.array(ops.convert_to_numpy(x), dtype=self.compute_dtype) for x in encodings]
        self._build_for(pool[0])
        self._pool = pool

    def record(self):
        """From now on, the layer keeps the encodings that it is called with outside graphs, for `recorded`."""
        self._recorded = []

    def recorded(self):
        """The encodings since `record`, [loc, log_sigmoid], or None; ends the recording."""
        found, self._recorded = self._recorded, None
        return [np.concatenate(parts) for parts in zip(*found)] if found else None

    def start_from(self, encodings):
        """Measures the map of `standardize` on codes of `encodings` = [loc, log_sigmoid] (n, ..., d), in place of the first
        training batch's; n of 9 or more."""
        if not self.standardize:
            raise ValueError("start_from measures a standardized code: make the layer with standardize=True.")
        loc, log_sigmoid = self._encodings(encodings)
        self._build_for(loc)
        num_terms, log_clip = self._terms(loc)
        log_scale = log_clip + log_sigmoid
        noise = echo_noise(loc, log_scale, num_terms, "ring", seed=self._seeds)  # the same law, for many encodings
        self.standardization.measure_anew(self._exponentiated(loc + ops.exp(log_scale) * noise))

    def sample_marginal(self, n):
        """Draws n codes, shape (n, ..., d), from q(z), which is the law of the noise itself (lemma 2.1). Needs `adapt`."""
        if self._pool is None:
            raise ValueError("sample_marginal draws from the encodings of training data: call `adapt(encodings)` first.")
        return self._mapped(self._exponentiated(self._pool_noise(n, *self._terms(None))))

    def _encodings(self, inputs):
        if not isinstance(inputs, (list, tuple)) or len(inputs) != 2:
            raise ValueError(
                "EchoSample takes [loc, log_sigmoid], two tensors of one shape (B, ..., d), got "
                f"{f'{len(inputs)} of them' if isinstance(inputs, (list, tuple)) else type(inputs).__name__}."
            )
        checked = check_encodings(*map(ops.convert_to_tensor, inputs))
        return [ops.convert_to_tensor(x, dtype=self.compute_dtype) for x in checked]

    def _check_shapes(self, input_shape):
        is_two = isinstance(input_shape, (list, tuple)) and len(input_shape) == 2
        shapes = [tuple(s) for s in input_shape] if is_two and all(isinstance(s, (list, tuple)) for s in input_shape) else []
        if len(shapes) != 2 or shapes[0] != shapes[1] or len(shapes[0]) < 2:
            raise ValueError(
                f"EchoSample takes [loc, log_sigmoid], two tensors of one shape (B, ..., d), got shape(s) {input_shape}."
            )
        return shapes

    def _build_for(self, loc):
        """Builds the layer for codes like loc, or refuses them where it is built for others."""
        found = tuple(loc.shape[1:])
        if not self.built:
            self.build([(None, *found)] * 2)
        if found != self._latent_shape:
            raise ValueError(f"the layer's codes have the shape {self._latent_shape}, got encodings of the shape {found}.")

    def _notice_magnitude(self, loc):
        """Warns of a loc beyond its bound, outside graphs: within one, a head's activation is all that can be looked at."""
        if self.clip is None and (values := values_of(loc)) is not None:
            largest = np.abs(values).max()
            if largest > self.max_magnitude * (1 + 1e-6):
                self._warn(
                    "magnitude",
                    f"|loc| is up to {largest:.3g}, above max_magnitude = {self.max_magnitude:g}: the noise is cut off too "
                    "early and the rate is not exact. End the loc head in echo_tf.tanh16, or give another max_magnitude, "
                    "or the clip.",
                )

    def _warn(self, thing, message):
        """Warns of each thing once."""
        if thing not in self._warned:
            self._warned.add(thing)
            warnings.warn(f"{self.name}: {message}", stacklevel=2)

    def _charge(self, rate):
        """Adds beta * rate to the model's loss, and the rate to the total that the model reports."""
        self.add_loss(self.beta * ops.cast(ops.mean(rate), keras.config.floatx()))
        if self.rate_metric is not None:
            context = self._get_call_context()  # of one call of the model
            alike = [layer for layer in context.entry_layer._flatten_layers() if isinstance(layer, EchoSample)]
            add_to_total(rate, [layer.rate_metric for layer in alike if layer.rate_metric is not None], context)

    def _exponentiated(self, code):
        return ops.exp(code) if self.multiplicative else code

    def _mapped(self, code):
        return code if self.standardization is None else self.standardization(code)

    def _uses_pool(self, loc):
        if self.noise_source == "pool" and self._pool is None:
            if self._recorded is not None:  # what `echo_tf.adapt` makes the pool of
                return False
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
            if loc is not None and isinstance(loc.shape[0], int) and not self._uses_pool(loc):
                self.check_batch_size(loc.shape[0])
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

    def check_encodings(self, encodings):
        """Raises ValueError for [loc, log_sigmoid] that a call would refuse, and warns of a loc beyond its bound."""
        self._notice_magnitude(self._encodings(encodings)[0])

    def check_batch_size(self, batch_size):
        """Warns once of batches that have fewer other examples than the noise has terms, where the missing ones count."""
        if self.num_terms is None or self.noise_source == "pool" or not 1 < batch_size <= self.num_terms:
            return
        clip = self.clip or exact_clip(self.num_terms, self.max_magnitude)
        if clip ** (batch_size - 1) / (1 - clip) > SMALLEST_MISSED:
            self._warn(
                "batch",
                f"batches of {batch_size} are small for {self.num_terms} noise terms: the missing ones repeat donors, which "
                f"makes the noise wider than its law and the rate too high (see echo_noise): use batches of "
                f"{self.num_terms + 1} or more, or fewer terms.",
            )

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
        names = store.keys()
        own = {name: store[name] for name in names if not name.startswith("pool_")}
        super().load_own_variables(own)
        if "pool_loc" in store:
            self.adapt([store["pool_loc"][...], store["pool_log_sigmoid"][...]])

    def get_config(self):
        own = ("num_terms", "scheme", "max_magnitude", "clip", "noise_source", "multiplicative", "seed", "beta", "standardize")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


def _pointwise_rate(log_scale):
    """-sum_j log s_j(x) in nats, (B,), of the final log_scale (B, ..., d)."""
    return -ops.sum(log_scale, axis=tuple(range(1, len(log_scale.shape))))
