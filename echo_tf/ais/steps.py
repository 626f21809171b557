"""The steps of annealing, compiled: weights, a transition, and the tuning of step sizes."""

import numpy as np

from echo_tf.ais.sampler import Sampler
from echo_tf.ais.step_sizes import adapted
from echo_tf.ais.target import Point, Target
from echo_tf.ais.transitions import TRANSITIONS
from echo_tf.precision import without_tensor_float_32


def seed_of(seed, step):
    """The seed of one step of a round, for stateless random functions."""
    import tensorflow as tf

    return tf.random.fold_in(tf.stack([tf.cast(seed, tf.int32), 20_170]), step)


def compiled(target: Target, sampler: Sampler, num_chains: int, tuned: bool, xla: bool, scale: float):
    """The function that does some steps of a round; rounds of one target that differ in nothing of this share it.

    scale: what the limits of step sizes are in units of.

    Returns:
        (state, images of all chains, inverse temperatures, floors (B,) below which no chain of an image goes, table of step
        sizes, L of the preconditioner, (how many steps, number of the first, seed)) -> (state, [acceptance of each image, log
        step sizes, failed proposals], summed over the steps). L is (k, k), or (0, 0) for none.
    """
    import tensorflow as tf

    key = sampler, num_chains, tuned, xla, scale
    if key not in target.compiled:

        def run(state, images, betas, floors, table, factor, numbers):
            count, first, seed = numbers[0], numbers[1], numbers[2]
            dtype = state[0].dtype
            images_alone = tf.shape(state[0])[0] // num_chains
            floors = tf.tile(floors, [num_chains])
            zeros = [tf.zeros((images_alone,), dtype), tf.zeros_like(state[7]), tf.zeros((), tf.int32)]

            def step(i, state, sums):
                size = None if tuned else table[i]
                way = tf.maximum(betas[i], floors), tf.maximum(betas[i + 1], floors)
                state, found = _step(target, sampler, num_chains, images, state, way, size, factor, first + i, seed, scale)
                return i + 1, state, [total + one for total, one in zip(sums, found)]

            _, state, sums = tf.while_loop(lambda i, *_: i < count, step, [tf.constant(0), list(state), zeros])
            return state, sums

        target.compiled[key] = without_tensor_float_32()(tf.function(run, jit_compile=xla))
    return target.compiled[key]


def _step(target, sampler, num_chains, images, state, way, step_size, factor, index, seed, scale):
    """One step, in a TensorFlow graph: weights, transition, and the tuning where no step size is given."""
    import tensorflow as tf

    (beta, new_beta), point, (momentum, log_weights, tuned, rate) = way, Point(*state[:5]), state[5:]
    dtype = momentum.dtype
    log_weights = log_weights + _gained(point, beta, new_beta, sampler.weights)
    used = tuned if step_size is None else step_size
    repeats = num_chains if sampler.step_sizes_per == "image" else 1
    moved = TRANSITIONS[sampler.transition](
        target,
        images,
        point,
        momentum,
        tf.cast(new_beta, dtype),
        tf.tile(used, [repeats])[:, None],
        sampler.leapfrog_steps,
        sampler.memory,
        seed_of(seed, index),
        factor if sampler.preconditioner != "none" else None,
    )
    accepted = tf.cast(moved.accepted, dtype)
    by_image = tf.reduce_mean(tf.reshape(accepted, (num_chains, -1)), 0)
    if step_size is None:
        own = by_image if sampler.step_sizes_per == "image" else accepted
        tuned, rate = adapted(tuned, rate, index + 1, own, sampler.rule, sampler.acceptance, scale)
    found = [by_image, tf.math.log(used), tf.reduce_sum(tf.cast(moved.failed, tf.int32))]
    return [*moved.point, moved.momentum, log_weights, tuned, rate], found


def _gained(point, beta, new_beta, weights):
    """The increments of the log weights, -inf for a chain without a finite distortion."""
    import tensorflow as tf

    d = point.distortion
    if weights == "float32":
        old, new = (point.log_prior - tf.cast(b, d.dtype) * d for b in (beta, new_beta))
        gained = tf.cast(new - old, tf.float64)
    else:
        gained = -(new_beta - beta) * tf.cast(d, tf.float64)
    return tf.where(tf.math.is_finite(d), gained, tf.constant(-np.inf, tf.float64))
