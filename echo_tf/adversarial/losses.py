"""What adversaries minimize, and what keeps the discriminator from growing too steep or too blind."""

from typing import NamedTuple

import keras
from keras import ops

from echo_tf.guards import precise

TINY = 1e-12  # under the root of a norm, whose gradient at 0 would be NaN


class Losses(NamedTuple):
    """The losses of a pair of adversaries, from logits (B, 1), in float32 or better: of the discriminator,
    (real, fake) -> scalar, and of the generator, fake -> scalar."""

    discriminator: object
    generator: object


# "non_saturating": cross-entropies in nats, Goodfellow et al., "Generative Adversarial Nets", NeurIPS 2014, section 3;
# "wasserstein": Arjovsky, Chintala and Bottou, "Wasserstein GAN", ICML 2017
LOSSES = {
    "non_saturating": Losses(
        lambda real, fake: _mean(real, lambda x: ops.softplus(-x)) + _mean(fake, ops.softplus),
        lambda fake: _mean(fake, lambda x: ops.softplus(-x)),
    ),
    "wasserstein": Losses(lambda real, fake: _mean(fake) - _mean(real), lambda fake: -_mean(fake)),
}


def _mean(logits, function=lambda x: x):
    return ops.mean(function(*precise(logits)))


def gradient_penalty(discriminator, real, fake, seed=None):
    """The mean of (|gradient of the discriminator| - 1)^2 at points drawn uniformly between real and fake examples.

    Reference: Gulrajani et al., "Improved Training of Wasserstein GANs", NeurIPS 2017, equation 3.

    Args:
        discriminator: x (B, ...) -> (B, 1), without anything that mixes the examples of a batch.
        real, fake: (B, ...).
        seed: of the draws, an integer or a `keras.random.SeedGenerator`.

    Returns:
        A scalar, whose own gradient in the discriminator's weights is there.
    """
    import tensorflow as tf

    real, fake = precise(real, fake)
    share = keras.random.uniform((ops.shape(real)[0], *[1] * (len(real.shape) - 1)), dtype=real.dtype, seed=seed)
    between = real + share * (fake - real)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(between)
        logits = discriminator(between)
    (gradient,) = precise(tape.gradient(logits, between))
    squared = ops.sum(ops.square(gradient), axis=tuple(range(1, len(real.shape))))
    return ops.mean(ops.square(ops.sqrt(squared + TINY) - 1.0))


def representation_entropy(activations, softness=1e-3):
    """How far the signs of a layer's units are from being fair and independent, between 0 and 2: BRE, to be minimized.

    With s the signs of the units before their nonlinearity, K examples of d units each: the mean over units of the squared
    mean of s over examples, plus the mean over pairs of different examples of |s_k . s_l| / d. The first is 0 if each unit is
    on for half of the examples, the second if no two examples have alike (or opposite) patterns.

    Reference: Cao, Ding, Lui and Huang, "Improving GAN Training via Binarized Representation Entropy (BRE) Regularization",
    ICLR 2018, section 3. A sign has no gradient: a / (|a| + softness times the mean of |a|) stands for it.

    Args:
        activations: a, (K, ...), before the nonlinearity. One example alone has no pairs, which then count nothing.
        softness: how soft the signs are.

    Returns:
        A scalar.
    """
    (activations,) = precise(activations)
    a = ops.reshape(activations, (ops.shape(activations)[0], -1))
    size = ops.abs(a)
    signs = a / (size + softness * ops.stop_gradient(ops.mean(size)) + TINY)
    number, units = (ops.cast(n, a.dtype) for n in ops.shape(a))
    of_units = ops.mean(ops.square(ops.mean(signs, axis=0)))
    pairs = ops.abs(ops.matmul(signs, ops.transpose(signs))) / units
    of_pairs = ops.divide_no_nan(ops.sum(pairs) - ops.sum(ops.diagonal(pairs)), number * (number - 1.0))
    return of_units + of_pairs
