"""What is annealed: a prior, a decoder and a distortion, p(z) exp(-beta d(x, f(z))), for some images at once."""

import copy
import hashlib
from typing import Any, NamedTuple

import keras
import numpy as np

from echo_tf import inputs
from echo_tf.distortions import CallableDistortion, Distortion, distortion_of
from echo_tf.guards import on_tensorflow_cpu
from echo_tf.heads import outputs_of
from echo_tf.precision import HALF, in_precision, without_tensor_float_32


class Point(NamedTuple):
    """Where chains are, with what the next step needs of it; P chains, latent size k.

    z: (P, k).
    distortion: (P,), not finite where the decoder gave nothing finite.
    log_prior: (P,), up to a constant.
    distortion_gradient, log_prior_gradient: (P, k).
    """

    z: Any
    distortion: Any
    log_prior: Any
    distortion_gradient: Any
    log_prior_gradient: Any


class Target:
    """p(z) exp(-beta d(x, f(z))) of B images, any number of chains each. TensorFlow alone.

    Args:
        decoder: f, a Keras model or any function of z (P, k) whose output has the images' shape.
        images: x (B, ...); None: where there is no x yet, as in a simulation of some.
        prior: a TFP distribution over vectors (k,), with a gradient; None: N(0, I).
        distortion: d: "squared_error" (summed), "bernoulli" (the decoder gives logits), a `Distortion` such as
            `Gaussian(variance=...)` or that of a trained model, or a function (x, output) -> (P,).
        latent_dim: k, where neither decoder nor prior tell.
        precision: "float32" or "float64": of the decoder and the chains. A Keras model that computes in less is made again in
            it, a function that does is refused. Products of float32 are never rounded to TF32. Log weights are float64 always.
        check_range: whether images outside the range of the decoder's output or of the distortion are refused.

    Raises:
        ValueError: for what does not fit: each message says what was received and what was expected.
    """

    def __init__(
        self,
        decoder,
        images,
        prior=None,
        distortion="squared_error",
        latent_dim=None,
        precision="float32",
        check_range=True,
    ):
        if keras.backend.backend() != "tensorflow":
            raise ValueError(f"annealing needs KERAS_BACKEND=tensorflow, as TFP does, got {keras.backend.backend()}.")
        if precision not in ("float32", "float64"):
            raise ValueError(f"precision must be float32 or float64, got {precision!r}.")
        self.precision, self.prior = precision, prior
        self.latent_dim = _latent_dim(decoder, prior, latent_dim)
        if distortion == "gaussian":
            raise ValueError('a "gaussian" distortion needs its variance here: take echo_tf.Gaussian(variance=...).')
        self.measure = _in_precision(distortion_of(distortion), precision)
        for output in outputs_of(decoder):
            self.measure.check_head(output)
        self.decoder = _decoder_in(decoder, precision)
        self.compiled = {}  # of `annealing.compiled`
        self._check_prior()
        if images is not None:
            self._take(images, check_range)

    def of(self, images) -> "Target":
        """The same of other images, whose range is not checked; what is compiled is shared."""
        other = copy.copy(self)
        other._take(images, check_range=False)
        return other

    def in_double(self) -> "Target":
        """The same in float64. Raises ValueError for a decoder that cannot be made again in it."""
        if self.precision == "float64":
            return self
        if not isinstance(self.decoder, keras.Layer):
            raise ValueError(
                'the decoder is a function, which cannot be made in float64: give it so, with precision="float64".'
            )
        other = copy.copy(self)
        other.precision, other.decoder, other.compiled = "float64", _decoder_in(self.decoder, "float64"), {}
        other.measure = _in_precision(self.measure, "float64")
        other.images = np.asarray(self.images, np.float64)
        return other

    @property
    def is_bound(self) -> bool:
        """Whether the prior's draws are of its density. Else the mean of the weights is not Z, and bounds nothing."""
        return getattr(self.prior, "draws_are_of_density", True)

    @property
    def num_images(self) -> int:
        return self.images.shape[0]

    @property
    def fast_under_xla(self) -> bool:
        """Whether compiling with XLA makes a step faster: on a CPU its convolutions take two to four times oneDNN's time."""
        convolutions = keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose
        return not (on_tensorflow_cpu() and any(isinstance(layer, convolutions) for layer in _layers_of(self.decoder)))

    def sample_prior(self, number: int, seed) -> Any:
        """Draws from p(z), (number, k). seed: two integers, as stateless random functions of TensorFlow take."""
        import tensorflow as tf

        if self.prior is None:
            return tf.random.stateless_normal((number, self.latent_dim), seed, dtype=self.precision)
        return tf.cast(self.prior.sample(number, seed=seed), self.precision)

    def log_prior(self, z) -> Any:
        """log p(z) up to a constant, (P,)."""
        import tensorflow as tf

        if self.prior is None:
            return -0.5 * tf.reduce_sum(z * z, -1)
        dtype = self.prior.dtype
        return tf.cast(self.prior.log_prob(tf.cast(z, dtype)), self.precision)

    @without_tensor_float_32()
    def distortion(self, z, images) -> Any:
        """d(x, f(z)), (P,). images: (P, ...)."""
        return self.measure(images, self.decoded(z))

    @without_tensor_float_32()
    def decoded(self, z) -> Any:
        """f(z), (P, ...)."""
        return self.decoder(z, training=False) if isinstance(self.decoder, keras.Layer) else self.decoder(z)

    @without_tensor_float_32()
    def at(self, z, images) -> Point:
        """The `Point` of z (P, k); images (P, ...) of each chain."""
        import tensorflow as tf

        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            tape.watch(z)
            distortion = self.distortion(z, images)
            log_prior = self.log_prior(z)
        gradient = tape.gradient(distortion, z)
        if gradient is None:
            raise ValueError("the distortion must have a gradient with respect to z: decoder and distortion in TensorFlow.")
        if self.prior is None:
            return Point(z, distortion, log_prior, gradient, -z)
        # a density without a gradient gives no force, which the acceptance puts right
        force = tape.gradient(log_prior, z, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return Point(z, distortion, log_prior, gradient, force)

    def tiled(self, num_chains: int) -> Any:
        """The images of all chains, (num_chains * B, ...): chain by chain, the images within."""
        import tensorflow as tf

        return tf.tile(self.images, [num_chains, *[1] * (len(self.images.shape) - 1)])

    def _take(self, images, check_range):
        import tensorflow as tf

        images = np.asarray(images)
        _check_images(images, self.decoder, self.measure, check_range)
        self.images = tf.constant(images, self.precision)
        self._check_output()
        self.digest = _digest(self)

    def _check_output(self):
        import tensorflow as tf

        z = tf.zeros((1, self.latent_dim), self.precision)
        try:
            output, values = self.decoded(z), self.distortion(z, self.images[:1])
        except (ValueError, tf.errors.InvalidArgumentError) as error:
            said = " ".join(str(error).split())[:300]
            raise ValueError(
                f"the decoder must take z (n, {self.latent_dim}) and give the shape of an image, "
                f"{tuple(self.images.shape[1:])}: {said}"
            ) from error
        if tuple(values.shape) != (1,):
            raise ValueError(
                f"the distortion must give a number an image, (n,), got the shape {tuple(values.shape)} for n = 1."
            )
        for made in (output, values):
            if made.dtype != self.precision:
                raise ValueError(f"decoder and distortion must compute in {self.precision}, got {made.dtype.name}.")

    def _check_prior(self):
        if self.prior is None:
            return
        if getattr(self.prior.dtype, "name", self.prior.dtype) in HALF:
            raise ValueError(f"the prior must compute in float32 or float64, got {self.prior.dtype}.")
        values = self.prior.log_prob(self.prior.sample(3, seed=(0, 0)))
        if tuple(values.shape) != (3,):
            raise ValueError(
                f"the prior must give one density a vector, log_prob of shape (n,), got {tuple(values.shape)} for n = 3: "
                "wrap it in tfd.Independent(prior, 1)."
            )


def _decoder_in(decoder, precision):
    """The decoder, made again where a layer of it computes in less than the precision; one that is a function as it is."""
    less = HALF if precision == "float32" else (*HALF, "float32")
    parts = [layer for layer in _layers_of(decoder) if not outputs_of(layer)]  # models of layers compute nothing themselves
    used = [part.dtype if isinstance(part, keras.layers.InputLayer) else part.compute_dtype for part in parts]
    return in_precision(decoder, precision) if any(dtype in less for dtype in used) else decoder


def _in_precision(measure: Distortion, precision):
    if precision == "float32":
        return measure
    if isinstance(measure, CallableDistortion):  # a function cannot be made again from a configuration, and need not be
        return CallableDistortion(measure.function, measure.unit, measure.is_likelihood, dtype="float64")
    made = type(measure).from_config({**measure.get_config(), "dtype": "float64"})
    made.set_weights(measure.get_weights())
    return made


def _latent_dim(decoder, prior, given):
    shape = getattr(decoder, "input_shape", None)
    of_decoder = shape[-1] if isinstance(shape, tuple) and len(shape) == 2 else None
    of_prior = prior.event_shape[-1] if prior is not None and len(prior.event_shape) == 1 else None
    found = {name: int(k) for name, k in (("decoder", of_decoder), ("prior", of_prior), ("latent_dim", given)) if k}
    if not found:
        raise ValueError("the size of the code is not known from decoder or prior: give latent_dim.")
    if len(set(found.values())) > 1:
        said = ", ".join(f"{name} says {k}" for name, k in found.items())
        raise ValueError(f"decoder, prior and latent_dim must be of one size of code, got: {said}.")
    return next(iter(found.values()))


def _check_images(images, decoder, measure, check_range):
    if images.ndim < 2 or not len(images):
        raise ValueError(f"images must be (n, ...), one or more, got the shape {images.shape}.")
    if not np.isfinite(images).all():
        raise ValueError(f"images must be finite, got {int((~np.isfinite(images)).sum())} values that are not.")
    output = next(iter(outputs_of(decoder)), None)
    if output is not None and tuple(output.shape[1:]) != images.shape[1:]:
        raise ValueError(
            f"images must have the shape of the decoder's output, {tuple(output.shape[1:])}, got {images.shape[1:]}."
        )
    if check_range:
        inputs.check_range(images.min(), images.max(), measure.limits, None if output is None else measure.range_of(output))


def _layers_of(decoder):
    return list(decoder._flatten_layers()) if isinstance(decoder, keras.Layer) else []


def _digest(target):
    """A hash of what the target's numbers depend on, as far as it can be seen; the same on every machine."""
    measure, decoder = target.measure, target.decoder
    layers = _layers_of(decoder)
    kinds = [(type(layer).__name__, getattr(getattr(layer, "activation", None), "__name__", "")) for layer in layers]
    probe = target.distortion(np.full((1, target.latent_dim), 0.5, target.precision), target.images[:1])
    densities = [] if target.prior is None else target.prior.log_prob(target.prior.sample(5, seed=(1, 2))).numpy()
    said = f"{target.precision} {target.images.shape} {type(measure).__name__} {kinds} {float(probe[0]):.3g}"
    found = hashlib.sha256(" ".join([said, *(f"{value:.3g}" for value in densities)]).encode())
    for array in (target.images, *getattr(decoder, "weights", ()), *measure.weights):
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:16]
