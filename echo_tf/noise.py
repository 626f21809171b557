"""Echo noise: a data-driven noise channel whose mutual information is exact.

Brekelmans, Moyer, Galstyan and Ver Steeg, "Exact Rate-Distortion in Autoencoders via Echo
Noise", NeurIPS 2019: equations 1-4 (channel, noise, information), appendix B (truncation).

The channel is z = f(x) + s(x) * noise. The noise is the same channel applied to other
examples x_0, x_1, ... ("donors"), again and again, so that noise and output have one law:

    noise = f(x_0) + s(x_0) * (f(x_1) + s(x_1) * (f(x_2) + ...
          = sum_l f(x_l) * prod_{l' < l} s(x_l')            =>  I(X; Z) = -E log |det s(X)|

Here `loc` is f, `log_scale` is log s, and the sum stops after `num_terms` terms.
"""

import math

import keras
import numpy as np
from keras import ops

from echo_tf import arguments
from echo_tf.guards import on_tensorflow_cpu, precise, require

SCHEMES = ("permutation", "replacement", "ring")
MACHINE_PRECISION = 2.0**-23
NO_SCALE = -1e4  # the log of a scale that is 0 in every precision, and finite
LARGEST_PRODUCT = 512
LARGEST_AT_ONCE = 1024  # latents: beyond them the terms of the noise are summed one after another


def solve_log_clip(num_terms, log_ratio, xp):
    """log r for the r with num_terms * log r - log(1 - r) + log_ratio = 0, by Newton's method on logit r.

    In x = logit r the function is increasing and concave, so that Newton's iterates, started
    left of the root, rise to it without overshooting. `xp` is numpy or keras.ops: one solution
    serves Python numbers and a batch size known only while the graph runs.
    """
    x = -(xp.maximum(log_ratio, 0.0) + math.log(2.0)) / num_terms
    for _ in range(60):
        value = -num_terms * xp.logaddexp(0.0, -x) + xp.logaddexp(0.0, x) + log_ratio
        sigmoid = 1.0 / (1.0 + xp.exp(-x))
        x = x - value / (num_terms * (1.0 - sigmoid) + sigmoid)
    return -xp.logaddexp(0.0, -x)


def exact_clip(num_terms, max_magnitude=1.0, precision=MACHINE_PRECISION):
    """The largest scale for which Echo noise may be cut off after `num_terms` terms.

    Solves max_magnitude * r**num_terms / (1 - r) = precision, the bound on all dropped terms
    (appendix B). `exact_clip(99)` is the paper's 0.8359.

    Args:
        num_terms: number of terms really summed, an integer >= 1.
        max_magnitude: the bound M on |f(x)|.
        precision: how much the dropped terms may add up to, in units of z.

    Returns:
        r, a float in (0, 1).

    Raises:
        ValueError: if an argument is out of range.

    Example:

    >>> print(f"{exact_clip(99):.6f} {exact_clip(64):.6f} {exact_clip(99, 10):.6f}")
    0.835866 0.762203 0.817523
    """
    num_terms = arguments.integer("num_terms", num_terms)
    max_magnitude = arguments.number("max_magnitude", max_magnitude, "(0, inf)")
    precision = arguments.number("precision", precision, "(0, inf)")
    log_ratio = math.log(max_magnitude) - math.log(precision)
    return float(np.exp(solve_log_clip(float(num_terms), np.float64(log_ratio), np)))


def draw_donors(num_examples, num_terms, num_others, scheme="permutation", seed=None):
    """Draws, for each example, which of `num_others` others its noise is made of.

    Args:
        num_examples, num_terms, num_others: sizes B, N and P (Python integers or scalar tensors).
        scheme: "permutation" (without replacement), "replacement", or "ring" (N neighbours on one
            random ring, from an independent place for each example).
        seed: an integer, a `keras.random.SeedGenerator` or None, as in `keras.random`.

    Returns:
        Integers of shape (B, N) in [0, P). Beyond P terms the missing ones are drawn with replacement.
    """
    if scheme == "replacement":
        return keras.random.randint((num_examples, num_terms), 0, num_others, dtype="int32", seed=seed)
    distinct = _minimum(num_terms, num_others)
    if scheme == "permutation":  # of the others, one for each example: the order of random keys
        keys = keras.random.uniform((num_examples, num_others), seed=seed)
        donors = ops.argsort(keys, axis=1)[:, :distinct]
    else:
        ring = ops.argsort(keras.random.uniform((num_others,), seed=seed))
        start = keras.random.randint((num_examples, 1), 0, num_others, dtype="int32", seed=seed)
        donors = ops.take(ring, (start + ops.arange(distinct)) % num_others, axis=0)
    donors = ops.cast(donors, "int32")
    if isinstance(distinct, int) and distinct == num_terms:
        return donors
    missing = draw_donors(num_examples, num_terms - distinct, num_others, "replacement", seed)
    donors = ops.concatenate([donors, missing], axis=1)
    return ops.reshape(donors, (-1, num_terms)) if isinstance(num_terms, int) else donors


def echo_noise(loc, log_scale, num_terms=None, scheme="permutation", indices=None, seed=None):
    """Draws Echo noise for every example of a batch from the batch's other examples (equation 3).

    noise_i = sum_l loc[x_l] * prod_{l' < l} scale[x_l'], l = 0 .. num_terms - 1; the first weight
    is 1. All latent dimensions of an example share its donors. Gradients flow through the donors.

    Args:
        loc: f(x), shape (B, ..., d).
        log_scale: log s(x), same shape, final (already clipped) and <= 0.
        num_terms: terms of the sum; None means B - 1. A batch of B <= num_terms draws the missing
            terms with replacement.
        scheme: how donors are drawn, never the example itself and afresh on every call. Donors that repeat make the noise
            wider than its law, and the rate then exceeds the information: in one dimension with a constant scale s the
            variance is a1 + (a2 - a1) / (B - 1) times that of f, with a1 = 1 / (1 - s^2) where a1 is right and
            a2 = 1 / (1 - s)^2 (s = 0.8, B = 100: 3.00 where 2.78 is right). So do the terms that a batch of B <= num_terms
            is short of.
            "permutation" (without replacement; work and memory grow as B * (B + num_terms)), "replacement"
            (B * num_terms), or "ring": one random ring a call, which every example walks from its own
            place, in B log B; the marginal law of each example's noise is that of "permutation".
        indices: integers (B', N) that fix the donors instead (row l of `loc` is donor l).
        seed: an integer, a `keras.random.SeedGenerator` or None, as in `keras.random`.

    Returns:
        The noise, shape (B, ..., d), or (B', ..., d) with `indices`, in float32 or better.

    Raises:
        ValueError: for shapes that differ, num_terms < 1, an unknown scheme, a batch of one, or
            (where values can be seen) a log_scale above 0. A graph compiled by XLA cannot raise: there a batch of
            one gets NaN.

    Example: a scale of 1/2 and two donors give the first plus half of the second.

    >>> noise = echo_noise([[1.0], [2.0], [4.0]], [[math.log(0.5)]] * 3, indices=[[1, 2], [2, 0], [0, 1]])
    >>> keras.ops.convert_to_numpy(noise).ravel().tolist()
    [4.0, 4.5, 2.0]
    """
    loc, log_scale = ops.convert_to_tensor(loc), ops.convert_to_tensor(log_scale)
    loc, log_scale = precise(*check_encodings(loc, log_scale))
    dtype = keras.backend.result_type(loc.dtype, log_scale.dtype)
    loc, log_scale = ops.cast(loc, dtype), ops.maximum(ops.cast(log_scale, dtype), NO_SCALE)
    arguments.choice("scheme", scheme, SCHEMES)
    if indices is not None:
        indices = ops.convert_to_tensor(indices)
        if len(indices.shape) != 2 or not keras.backend.is_int_dtype(indices.dtype):
            found = f"{keras.backend.standardize_dtype(indices.dtype)} of the shape {tuple(indices.shape)}"
            raise ValueError(f"indices must be integers of the shape (B, num_terms), got {found}.")
        indices = ops.cast(indices, "int32")
        inside = ops.all((indices >= 0) & (indices < ops.shape(loc)[0]))
        indices = require(inside, f"indices must number rows of loc, whose shape is {tuple(loc.shape)}.", indices)
        return _sum_echoes(loc, log_scale, indices)
    batch_size = ops.shape(loc)[0]
    loc = require(
        batch_size > 1,
        "Echo noise is made of other examples, and a batch of 1 has none: "
        "pass a larger batch, or call `adapt(encodings)` of EchoSample once, which keeps a pool.",
        loc,
    )
    if not isinstance(batch_size, int):  # XLA drops the check: there a batch of 1 gets NaN, not itself for a donor
        loc = ops.where(batch_size > 1, loc, ops.full_like(loc, np.nan))
    if num_terms is None:
        num_terms = batch_size - 1
    elif not ops.is_tensor(num_terms):
        num_terms = arguments.integer("num_terms", num_terms)
    if scheme == "ring":
        return _ring_noise(loc, log_scale, num_terms, seed)
    return _sum_echoes(loc, log_scale, _draw_others(batch_size, num_terms, scheme, seed))


def check_encodings(loc, log_scale):
    """loc and log_scale, or ValueError unless they are floating-point tensors of one shape (B, ..., d), B of 1 or more, and no
    log_scale is above 0 (NaN is let through)."""
    shapes = [tuple(x.shape) for x in (loc, log_scale)]
    if shapes[0] != shapes[1] or len(shapes[0]) < 2 or 0 in shapes[0]:
        raise ValueError(
            f"loc and log_scale must have the same shape, (B, ..., d) with nothing empty, got {shapes[0]} and {shapes[1]}."
        )
    for name, x in (("loc", loc), ("log_scale", log_scale)):
        if not keras.backend.is_float_dtype(x.dtype):
            raise ValueError(f"{name} must be of a floating-point dtype, got {keras.backend.standardize_dtype(x.dtype)}.")
    return loc, require(
        ops.logical_not(ops.any(log_scale > 0)),
        "log_scale must be <= 0 (a scale of 1 or less), and some of it is above: "
        "end the encoder's scale head in keras.activations.log_sigmoid.",
        log_scale,
    )


def _minimum(a, b):
    return min(a, b) if isinstance(a, int) and isinstance(b, int) else ops.minimum(a, b)


def _draw_others(batch_size, num_terms, scheme, seed):
    """Donors of each example among the rows of its batch, never its own: those numbered among B - 1 others jump over it.

    In a graph a batch of 1 is refused when it runs. Nothing here fails on it, or which error is met first were chance.
    """
    num_others = batch_size - 1 if isinstance(batch_size, int) else ops.maximum(batch_size - 1, 1)
    donors = draw_donors(batch_size, num_terms, num_others, scheme, seed)
    donors = donors + ops.cast(donors >= ops.arange(batch_size, dtype="int32")[:, None], "int32")
    return ops.minimum(donors, batch_size - 1)


def _sum_echoes(loc, log_scale, donors):
    """The noise (B, ..., d) made of the given donors (B, N)."""
    donors = ops.transpose(donors)  # terms in front: summing over them then adds up whole slices
    if math.prod(loc.shape[1:]) > LARGEST_AT_ONCE:
        return _walk_echoes(loc, log_scale, donors)
    terms, log_scales = ops.take(loc, donors, axis=0), ops.take(log_scale, donors, axis=0)
    return ops.sum(terms * ops.exp(_sum_of_those_before(log_scales)), axis=0)


def _walk_echoes(loc, log_scale, donors):
    """The noise made of donors (N, B), term after term: memory of order B * d where all terms at once take N times that.

    The gradient walks the terms again. With w_l = prod_{l' < l} s(x_l'), that of f(x_l) is w_l, and that of log s(x_l) is
    what comes after l: noise - sum_{l' <= l} w_l' f(x_l').
    """
    donors, width = ops.convert_to_tensor(donors), math.prod(loc.shape[1:])
    num_terms = ops.shape(donors)[0]

    @ops.custom_gradient
    def noise_of(f, log_s):
        start = ops.zeros_like(ops.take(f, donors[0], axis=0))

        def step(l, state):  # noqa: E741
            noise, weight = state
            rows = ops.take(donors, l, axis=0)
            return noise + weight * ops.take(f, rows, axis=0), weight * ops.exp(ops.take(log_s, rows, axis=0))

        noise, _ = ops.fori_loop(0, num_terms, step, (start, ops.ones_like(start)))

        def gradient(*given, upstream=None):
            upstream = given[0] if upstream is None else upstream

            def step_back(l, state):  # noqa: E741
                so_far, weight, of_f, of_log_s = state
                rows = ops.take(donors, l, axis=0)
                so_far = so_far + weight * ops.take(f, rows, axis=0)
                of_f = of_f + ops.scatter(rows[:, None], upstream * weight, ops.shape(f))
                of_log_s = of_log_s + ops.scatter(rows[:, None], upstream * (noise - so_far), ops.shape(f))
                return so_far, weight * ops.exp(ops.take(log_s, rows, axis=0)), of_f, of_log_s

            nothing = ops.zeros_like(f)
            return ops.fori_loop(0, num_terms, step_back, (start, ops.ones_like(start), nothing, nothing))[2:]

        return noise, gradient

    noise = noise_of(*(ops.reshape(x, (-1, width)) for x in (loc, log_scale)))
    return ops.reshape(noise, (-1, *loc.shape[1:]))


def _sum_of_those_before(x):
    """The exclusive cumulative sum x_0 + ... + x_(l - 1) along the first axis."""
    num_terms = x.shape[0]
    if num_terms is not None and num_terms <= LARGEST_PRODUCT and on_tensorflow_cpu():
        # a cumulative sum and its gradient take twice the time there; on a GPU the product would be rounded to TF32
        before = ops.convert_to_tensor(np.tril(np.ones((num_terms, num_terms)), -1), dtype=x.dtype)
        return ops.reshape(ops.matmul(before, ops.reshape(x, (num_terms, -1))), ops.shape(x))
    return ops.cumsum(ops.concatenate([ops.zeros_like(x[:1]), x[:-1]], axis=0), axis=0)


def _ring_noise(loc, log_scale, num_terms, seed):
    """Echo noise along one random ring: example at place p has the donors at p + 1, p + 2, ...

    The channels of 2^j neighbours compose to one affine map, a + exp(c) * z. Doubling gives those
    of 2^(j+1) neighbours for all places at once; the bits of the number of terms choose which to use.
    """
    batch_size = ops.shape(loc)[0]
    around = _minimum(num_terms, batch_size - 1)
    place = ops.argsort(keras.random.uniform((batch_size,), seed=seed))
    a, c = ops.take(loc, place, axis=0), ops.take(log_scale, place, axis=0)
    noise, log_weight = ops.zeros_like(a), ops.zeros_like(c)
    walked, steps = 1, num_terms.bit_length() if isinstance(num_terms, int) else 31
    for j in range(steps):
        length = 2**j
        used = (around // length) % 2 == 1
        if used is not False:
            longer = noise + ops.exp(log_weight) * ops.roll(a, -walked, axis=0)
            noise = longer if used is True else ops.where(used, longer, noise)
            deeper = log_weight + ops.roll(c, -walked, axis=0)
            log_weight = deeper if used is True else ops.where(used, deeper, log_weight)
            walked = walked + length if used is True else walked + ops.where(used, length, 0)
        if j + 1 < steps:
            a, c = a + ops.exp(c) * ops.roll(a, -length, axis=0), c + ops.roll(c, -length, axis=0)
    back = ops.argsort(place)
    noise, log_weight = ops.take(noise, back, axis=0), ops.take(log_weight, back, axis=0)
    if isinstance(around, int) and around == num_terms:
        return noise
    missing = _draw_others(batch_size, num_terms - around, "replacement", seed)
    return noise + ops.exp(log_weight) * _sum_echoes(loc, log_scale, missing)
