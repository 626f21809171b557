"""The metric tensor of a distortion: D(x, x + d) = d' G_x d + a constant + higher order, without a factor 1/2.

Reference: isometric VAE paper, equations 24, 66-79. All of it in terms of the decoder's output, logits too, and in
the distortion's precision, which is float32 or better.
"""

import keras
from keras import ops

from echo_tf import structural_similarity
from echo_tf.distortions import LOWEST_PROBABILITY, Bernoulli, Gaussian, SquaredError, StructuralDissimilarity
from echo_tf.isometry.losses import WeightedSquaredError, weight


def bilinear(measure, output, u, v):
    """u' G v of two tangents of the decoder's output, each (B, ...); (B,). G is that of the reconstruction.

    Args:
        measure: a `Distortion`.
        output: of the decoder.
        u, v: directions in which the output moves; logits for `Bernoulli`.

    Returns:
        (B,), or None for a distortion whose metric has no closed form here.
    """
    output, u, v = (ops.cast(one, measure.compute_dtype) for one in (output, u, v))
    if isinstance(measure, StructuralDissimilarity):
        return structural_similarity.bilinear(output, u, v)
    diagonal = diagonal_of(measure, output)
    if diagonal is None:
        return None
    return ops.sum(ops.reshape(diagonal * u * v, (ops.shape(u)[0], -1)), axis=-1)


def diagonal_of(measure, output):
    """The diagonal of a metric that is nothing else, of the shape of the output or broadcast to it; None for other metrics."""
    kinds = (Bernoulli, Gaussian, SquaredError, WeightedSquaredError)
    if type(measure) not in kinds:
        return None
    if isinstance(measure, Bernoulli):  # 1/2 (1/p + 1/(1 - p)) dp^2, and dp = p (1 - p) dlogit
        p = measure.reconstruct(output)
        if measure.from_logits:
            return 0.5 * p * (1.0 - p)
        p = ops.clip(p, LOWEST_PROBABILITY, 1.0 - LOWEST_PROBABILITY)
        return 0.5 * (1.0 / p + 1.0 / (1.0 - p))
    if isinstance(measure, Gaussian):
        return ops.zeros_like(output) + 0.5 * ops.exp(-ops.cast(measure.log_variance, output.dtype))
    if isinstance(measure, WeightedSquaredError):
        flat = ops.reshape(output, (ops.shape(output)[0], -1))
        scale = 1.0 if measure.reduction == "sum" else 1.0 / flat.shape[1]
        return scale * ops.reshape(weight(measure.loss, flat), (-1, *(1 for _ in output.shape[1:])))
    return ops.ones_like(output)


def excess(measure, base, output):
    """D(x, output) - D(x, base) for x the reconstruction that `base` stands for, (B,): what moving the output costs.

    The difference is taken element by element: both terms of a likelihood are large, and alike.
    """
    base, output = (ops.cast(one, measure.compute_dtype) for one in (base, output))
    x = measure.reconstruct(base)
    try:
        difference = measure.of_each_element(x, output) - measure.of_each_element(x, base)
    except NotImplementedError:  # a distortion that is no sum over elements
        return measure(x, output) - measure(x, base)
    return ops.sum(ops.reshape(difference, (ops.shape(x)[0], -1)), axis=-1)


def tangent(function, x, direction):
    """(function(x), its derivative along a direction): forward-mode differentiation, exact.

    Raises:
        ValueError: on a backend without it.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.autodiff.ForwardAccumulator(x, direction) as accumulator:
            value = function(x)
        found = accumulator.jvp(value)
        return value, tf.zeros_like(value) if found is None else found
    if backend == "jax":
        import jax

        return jax.jvp(function, (x,), (direction,))
    raise ValueError(f"exact derivatives need the TensorFlow or the JAX backend, got {backend!r}.")


def second_derivative(measure, decode, z, direction):
    """direction' G direction in the code, (B,), for any smooth distortion: half the second derivative of D along it."""
    x = ops.stop_gradient(measure.reconstruct(decode(z)))

    def slope(code):
        return tangent(lambda c: measure(x, decode(c)), code, direction)[1]

    return 0.5 * tangent(slope, z, direction)[1]
