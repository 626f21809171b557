"""Many small autoencoders trained at once: their weights stacked along a leading axis, one compiled loop for all.

The networks of the toy experiments are so small that a training alone is mostly the cost of starting operations. Here a step
of R runs is one step of a model whose matrices have R in front, an epoch is one XLA-compiled loop with Adam and the average of
weights in it, and each run has batches, noise and weights drawn from its own seed: it ends where it would have ended alone, up
to the rounding of sums. TensorFlow alone.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np

from echo_tf.isometry.losses import LOSSES, weight

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7  # Adam, as Keras has it


class Member(NamedTuple):
    """One run of a group.

    multiplier: lambda, the weight of its distortion against its rate; beta is 1 / lambda.
    loss: of `losses.LOSSES`.
    seed: of its first weights, batches and noise.
    """

    multiplier: float
    loss: str = "square"
    seed: int = 0

    def random(self, *purpose: int) -> np.random.Generator:
        """Random numbers of this run alone, whatever others it is trained with."""
        return np.random.default_rng([self.seed, LOSSES.index(self.loss), round(1e6 * self.multiplier), *purpose])


class Recipe(NamedTuple):
    """How all runs of a group are trained: on lambda a(x) |x - output|^2 + KL, in nats.

    reduction: "sum" or "mean" of the squared error over the elements of x.
    batch_size: of every step but an epoch's last, which takes what is left.
    learning_rate: of Adam.
    averaging: momentum of the average of weights.
    """

    reduction: str = "sum"
    batch_size: int = 128
    learning_rate: float = 1e-3
    averaging: float = 0.999


class Network(NamedTuple):
    """What the stacked step has to know of an encoder and a decoder that are chains of dense layers.

    encoder, heads, decoder: (units in, units out, activation) of each layer; the heads stand side by side.
    """

    encoder: tuple
    heads: tuple
    decoder: tuple

    @property
    def layers(self) -> tuple:
        return (*self.encoder, *self.heads, *self.decoder)


class State(NamedTuple):
    """What a training has come to; each a list of arrays (R, ...), kernels and biases in the order of the network's layers.

    weights: of the last step. momentums, velocities: of Adam. averages: exponential averages of the weights.
    """

    weights: list
    momentums: list
    velocities: list
    averages: list


def network_of(encoder: keras.Model, decoder: keras.Model) -> Network:
    """The `Network` of two Keras models of dense layers.

    Raises:
        ValueError: for a layer that is not dense.
    """
    chains = []
    for model in (encoder, decoder):
        dense = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
        for layer in dense:
            if not isinstance(layer, keras.layers.Dense) or not layer.use_bias:
                raise ValueError(f"only chains of dense layers with biases can be stacked, got {layer.name}, {layer!r}.")
        chains.append(tuple((*layer.kernel.shape, layer.activation) for layer in dense))
    return Network(chains[0][:-2], chains[0][-2:], chains[1])


def first_state(network: Network, members: Sequence[Member]) -> State:
    """Glorot's uniform kernels and biases of 0, as Keras's dense layers have."""
    drawn = [member.random(0) for member in members]
    weights = []
    for units_in, units_out, _ in network.layers:
        limit = np.sqrt(6 / (units_in + units_out))
        kernels = [random.uniform(-limit, limit, (units_in, units_out)) for random in drawn]
        weights += [np.stack(kernels).astype(np.float32), np.zeros((len(members), units_out), np.float32)]
    zeros = [np.zeros_like(w) for w in weights]
    return State(weights, zeros, [z.copy() for z in zeros], [w.copy() for w in weights])


def advance(network, recipe, members, points, state, first_epoch, epochs):
    """Trains a group for some epochs.

    Args:
        network, recipe: of all runs.
        members: R runs.
        points: (n, m) float32, which all runs share.
        state: from `first_state`, or of an earlier call.
        first_epoch: how many epochs have been done.
        epochs: how many to do.

    Returns:
        (the state, (epochs, R, 2) mean weighted distortion lambda D and mean KL of each epoch, both in nats).

    Raises:
        ValueError: on another backend than TensorFlow.
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError(f"stacked training needs the TensorFlow backend, got {keras.backend.backend()!r}.")
    import tensorflow as tf

    epoch = _epoch(network, recipe)
    table = tf.constant(np.stack([_weights(recipe, member, points) for member in members]))
    points = tf.constant(points)
    shares = tf.constant(_shares(len(points), recipe.batch_size))
    steps, state = shares.shape[0], State(*([tf.constant(a) for a in part] for part in state))
    means = []
    for number in range(first_epoch, first_epoch + epochs):
        rows, noise = _draws(members, len(points), recipe.batch_size, network.heads[0][1], number)
        *parts, found = epoch(*state, points, table, rows, noise, shares, tf.constant(number * steps, tf.int32))
        state = State(*parts)
        means.append(found.numpy() / steps)
    return State(*([a.numpy() for a in part] for part in state)), np.array(means, np.float32)


def _weights(recipe, member, points):
    scale = member.multiplier / (points.shape[1] if recipe.reduction == "mean" else 1)
    return (scale * weight(member.loss, points.astype(np.float64))).astype(np.float32)


def _shares(number, batch_size):
    """(steps, batch_size): what each example counts in its batch's mean; 0 behind the end of the last, shorter one."""
    steps = -(-number // batch_size)
    sizes = np.minimum(batch_size, number - batch_size * np.arange(steps))
    return ((np.arange(batch_size) < sizes[:, None]) / sizes[:, None]).astype(np.float32)


def _draws(members, number, batch_size, latents, epoch):
    """Rows (steps, R, B) and noise (steps, R, B, d) of an epoch."""
    steps = -(-number // batch_size)
    rows = np.zeros((len(members), steps * batch_size), np.int32)
    noise = np.empty((len(members), steps * batch_size, latents), np.float32)
    for i, member in enumerate(members):
        random = member.random(1, epoch)
        rows[i, :number] = random.permutation(number)
        random.standard_normal(out=noise[i], dtype=np.float32)
    rows = rows.reshape(len(members), steps, batch_size).transpose(1, 0, 2)
    return rows, noise.reshape(len(members), steps, batch_size, latents).transpose(1, 0, 2, 3)


@functools.lru_cache(maxsize=4)
def _epoch(network, recipe):
    """The compiled loop over the steps of an epoch."""
    import tensorflow as tf

    def dense(h, layer, kernel, bias):
        return layer[2](tf.matmul(h, kernel) + bias[:, None])

    def chain(h, layers, weights):
        for layer, kernel, bias in zip(layers, weights[::2], weights[1::2]):
            h = dense(h, layer, kernel, bias)
        return h

    def terms(weights, x, a, noise):
        """(lambda D, KL) of each example, both (R, B)."""
        first, second = 2 * len(network.encoder), 2 * len(network.encoder) + 4
        h = chain(x, network.encoder, weights[:first])
        loc, log_scale = (dense(h, network.heads[i], *weights[first + 2 * i : first + 2 * i + 2]) for i in (0, 1))
        scale = tf.exp(log_scale)
        output = chain(loc + scale * noise, network.decoder, weights[second:])
        divergence = tf.reduce_sum(0.5 * (loc * loc + scale * scale - 1.0) - log_scale, -1)
        return a * tf.reduce_sum(tf.square(x - output), -1), divergence

    def update(step, state, gradients):
        """Adam and the average of weights, as `keras.optimizers.Adam(use_ema=True)` has them."""
        number = tf.cast(step + 1, tf.float32)
        rate = recipe.learning_rate * tf.sqrt(1.0 - tf.pow(BETA_2, number)) / (1.0 - tf.pow(BETA_1, number))
        momentum = tf.where(step == 0, 0.0, recipe.averaging)
        found = State([], [], [], [])
        for w, m, v, average, g in zip(*state, gradients):
            m, v = m + (g - m) * (1.0 - BETA_1), v + (g * g - v) * (1.0 - BETA_2)
            w = w - m * rate / (tf.sqrt(v) + EPSILON)
            for part, value in zip(found, (w, m, v, momentum * average + (1.0 - momentum) * w)):
                part.append(value)
        return found

    def epoch(weights, momentums, velocities, averages, points, table, rows, noise, shares, first):
        def body(i, weights, momentums, velocities, averages, sums):
            x = tf.gather(points, rows[i])
            a = tf.gather(table, rows[i], batch_dims=1)
            with tf.GradientTape() as tape:
                tape.watch(weights)
                distortion, divergence = (tf.reduce_sum(t * shares[i], -1) for t in terms(weights, x, a, noise[i]))
                loss = tf.reduce_sum(distortion + divergence)
            state = State(weights, momentums, velocities, averages)
            state = update(first + i, state, tape.gradient(loss, weights))
            return i + 1, *state, sums + tf.stack([distortion, divergence], -1)

        number = rows.shape[0]
        start = (tf.constant(0), weights, momentums, velocities, averages, tf.zeros((rows.shape[1], 2)))
        return tf.while_loop(lambda i, *_: i < number, body, start)[1:]

    return tf.function(epoch, jit_compile=True, autograph=False)
