"""Annealed importance sampling of many images at once: log weights, distortions and what tells how far to trust them.

p_b(z) is proportional to p(z) exp(-b d(x, f(z))). Chains start at p(z) = p_0, and at each step from b to b' the log weight
gains -(b' - b) d(x, f(z)), exactly and in float64; then a transition that leaves p_b' invariant moves z. At every b the weights
give log Z_b = log E[w], of which log mean w is a lower bound in expectation.

References: Neal, "Annealed importance sampling" (2001); "Evaluating Lossy Compression Rates of Deep Generative Models", section
4 and appendix A.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from echo_tf.ais.schedule import Schedule
from echo_tf.ais.step_sizes import START, StepSizes, adapted
from echo_tf.ais.target import Point, Target
from echo_tf.ais.transitions import TRANSITIONS

STEPS_A_CALL = 32  # so that a request to stop is heard
WORTH_COMPILING = 2_000  # transitions
RANGE = 0.15  # acceptance this far from its goal is reported


class Sampler(NamedTuple):
    """How chains move, and what is done with their weights.

    transition: "persistent" or "tfp_hmc".
    leapfrog_steps: of each transition.
    memory: of the momentum, in [0, 1); "persistent" alone.
    resample_below: chains of an image are resampled at a recorded beta where the effective sample size is below this share of
        them; 0: never.
    acceptance: what the tuning of step sizes aims at.
    rule: of tuning, "moving_average" or "cumulative".
    step_sizes_per: "image", shared by its chains, or "chain".
    weights: "float64", exact increments, or "float32", differences of log densities as in the released code.
    """

    transition: str = "tfp_hmc"
    leapfrog_steps: int = 20
    memory: float = 0.0
    resample_below: float = 0.0
    acceptance: float = 0.65
    rule: str = "moving_average"
    step_sizes_per: str = "image"
    weights: str = "float64"

    def check(self) -> None:
        """Raises ValueError for what no sampler can be."""
        choices = {
            "transition": tuple(TRANSITIONS),
            "rule": ("moving_average", "cumulative"),
            "step_sizes_per": ("image", "chain"),
            "weights": ("float64", "float32"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {getattr(self, name)!r}.")
        if self.leapfrog_steps < 1:
            raise ValueError(f"leapfrog_steps must be 1 or more, got {self.leapfrog_steps!r}.")
        for name, high in (("memory", 1), ("resample_below", 1), ("acceptance", 1)):
            if not 0 <= getattr(self, name) < high:
                raise ValueError(f"{name} must be in [0, {high}), got {getattr(self, name)!r}.")

    @property
    def gradients(self) -> int:
        """Gradients that one transition takes."""
        return self.leapfrog_steps + (self.transition == "tfp_hmc")


DEFAULT = Sampler()


class Annealed(NamedTuple):
    """What annealing gives at R recorded inverse temperatures, of B images; float64.

    betas: (R,).
    log_z: (R, B) estimates of log Z_beta(x), nats.
    distortion: (R, B) weighted means of d over the chains, in its own unit.
    ess: (R, B) effective sample sizes, 1 to the number of chains.
    acceptance: (R, B) shares of proposals taken since the record before.
    deviation: (R, B) standard deviations of d over the weighted chains.
    step_sizes: (R, C) geometric means since the record before.
    failed: (R,) proposals whose energy was not finite, since the record before.
    """

    betas: np.ndarray
    log_z: np.ndarray
    distortion: np.ndarray
    ess: np.ndarray
    acceptance: np.ndarray
    deviation: np.ndarray
    step_sizes: np.ndarray
    failed: np.ndarray

    @property
    def rate(self) -> np.ndarray:
        """R = -log Z - beta D of each image, (R, B), nats."""
        return -self.log_z - self.betas[:, None] * self.distortion


class Annealing:
    """One round of annealing, segment by segment: `advance` until `finished`; `arrays` and `restore` in between.

    Args:
        target: of B images.
        schedule: of N inverse temperatures.
        sampler: how chains move.
        num_chains: M, of each image.
        seed: of the round. The same seed gives the same bits on a CPU, interrupted or not.
        step_sizes: a preliminary round's table, then they are fixed; None: they are tuned along the way.
        start: (B, k) where all chains of an image start; None: at draws from the prior.

    Raises:
        ValueError: for a sampler that none can be, or a start of another shape.
    """

    def __init__(self, target: Target, schedule: Schedule, sampler=DEFAULT, num_chains=40, seed=0, step_sizes=None, start=None):
        sampler.check()
        if num_chains < 1:
            raise ValueError(f"num_chains must be 1 or more, got {num_chains!r}.")
        self.target, self.schedule, self.sampler, self.seed = target, schedule, sampler, int(seed)
        self.num_chains, self.table = int(num_chains), step_sizes
        self._width = min(STEPS_A_CALL, int(np.diff([0, *schedule.ends]).max()))
        columns = target.num_images * (num_chains if sampler.step_sizes_per == "chain" else 1)
        if step_sizes is not None and step_sizes.values.shape[1] != columns:
            raise ValueError(f"the table of step sizes has {step_sizes.values.shape[1]} columns, needed are {columns}.")
        self.images = target.tiled(num_chains)
        # a plain graph takes milliseconds a step more, XLA seconds once
        self._run = compiled(target, sampler, self.num_chains, step_sizes is None, int(schedule.ends[-1]) >= WORTH_COMPILING)
        if start is not None and np.shape(start) != (target.num_images, target.latent_dim):
            raise ValueError(f"start must be {(target.num_images, target.latent_dim)}, got {np.shape(start)}.")
        self._begin(columns, start)

    @property
    def finished(self) -> bool:
        return self.done == len(self.schedule.ends)

    def advance(self, between: Callable[[], None] = lambda: None) -> None:
        """Goes on to the next recorded inverse temperature and records there. between: called every few steps."""
        self._start_segment()
        betas = self.schedule.segments[self.done]
        first = int(self.schedule.ends[self.done]) - len(betas) + 1
        for begin in range(0, len(betas) - 1, self._width):
            between()
            self._call(betas[begin : begin + self._width + 1], first + begin)
        self._record(len(betas) - 1)

    def result(self) -> Annealed:
        """What has been recorded so far."""
        rows = {name: np.array(values) for name, values in self.rows.items()}
        return Annealed(self.schedule.recorded[: self.done], **rows)

    def tuned(self, settings: str = "") -> StepSizes:
        """The table of step sizes that the round has found; see `StepSizes`."""
        found = self.result()
        deviations = np.sqrt(np.mean(np.where(np.isfinite(found.deviation), found.deviation, 0.0) ** 2, axis=1))
        positive = [betas[1:][betas[1:] > 0] for betas in self.schedule.segments]  # the last step of a way back is to 0
        centers = [np.exp(np.log(betas).mean()) if len(betas) else np.nan for betas in positive]
        found = Annealed(*(values[np.isfinite(centers)] for values in found))
        deviations, centers = deviations[np.isfinite(centers)], np.array(centers)[np.isfinite(centers)]
        order = np.argsort(centers)  # on the way back they fall
        found, deviations = Annealed(*(values[order] for values in found)), np.maximum(deviations, 1e-12)[order]
        return StepSizes(found.betas, centers[order], found.step_sizes, deviations, self.target.digest, settings, self.seed)

    def arrays(self) -> dict:
        """Everything that the rest of the round depends on, by name."""
        state = {f"state_{i}": np.asarray(tensor) for i, tensor in enumerate(self._state())}
        rows = {f"row_{name}": np.array(values) for name, values in self.rows.items()}
        return {**state, **rows, "offset": self.offset, "identity": np.array(self.identity)}

    def restore(self, done: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Puts the round where `arrays` was called. Raises ValueError for those of another target, schedule or sampler."""
        import tensorflow as tf

        if str(arrays["identity"]) != self.identity:
            raise ValueError(
                "the checkpoint is of another decoder, schedule, sampler or other images: remove it to begin anew "
                f"(it says {arrays['identity']}, needed is {self.identity})."
            )
        old = self._state()
        state = [tf.constant(arrays[f"state_{i}"], tensor.dtype) for i, tensor in enumerate(old)]
        self._set(state)
        self.rows = {name: list(arrays[f"row_{name}"]) for name in self.rows}
        self.offset, self.done = np.array(arrays["offset"]), done

    @property
    def identity(self) -> str:
        """What round this is, as text: of target, schedule, sampler, chains, seed and step sizes."""
        table = self.table.digest if self.table is not None else "tuned"
        sampler = " ".join(str(value) for value in self.sampler)
        return f"{self.target.digest} {self.schedule.digest} {sampler} {self.num_chains} {self.seed} {table} {self._start}"

    def _begin(self, columns, start):
        import tensorflow as tf

        chains, dtype = self.num_chains * self.target.num_images, self.target.precision
        if start is None:
            z = self.target.sample_prior(chains, self._seed(-1))
        else:
            z = tf.tile(tf.constant(start, dtype), [self.num_chains, 1])
        self._start = "prior" if start is None else f"{float(np.sum(np.abs(start))):.6g}"
        self.point = self.target.at(z, self.images)
        self.momentum = tf.random.stateless_normal(z.shape, self._seed(-2), dtype=dtype)
        self.log_weights = tf.zeros((chains,), tf.float64)
        self.step_size = tf.fill((columns,), tf.constant(START, dtype))
        self.rate = tf.ones((columns,), dtype) * self.sampler.acceptance
        if self.sampler.rule == "cumulative":
            self.rate = tf.zeros((columns,), dtype)
        self.offset, self.done = np.zeros(self.target.num_images), 0
        self.rows = {name: [] for name in Annealed._fields[1:]}

    def _seed(self, step):
        return seed_of(self.seed, step)

    def _state(self):
        return [*self.point, self.momentum, self.log_weights, self.step_size, self.rate]

    def _set(self, state):
        self.point, (self.momentum, self.log_weights, self.step_size, self.rate) = Point(*state[:5]), state[5:9]

    def _start_segment(self):
        self._accepted = np.zeros(self.target.num_images)
        self._log_steps = np.zeros(self.step_size.shape[0])
        self._failed = 0

    def _call(self, betas, first):
        """Some steps, by the compiled function: always arrays of one length, so that it is compiled once."""
        import tensorflow as tf

        count, width = len(betas) - 1, self._width
        padded = np.pad(betas, (0, width - count), mode="edge")
        table = np.zeros((width, 0), np.float32)
        if self.table is not None:
            table = np.pad(self.table.at(np.maximum(betas[1:], 1e-300)), ((0, width - count), (0, 0)), mode="edge")
        table = tf.constant(table, self.target.precision)
        numbers = tf.constant([count, first, self.seed], tf.int32)
        state, sums = self._run(self._state(), self.images, tf.constant(padded, tf.float64), table, numbers)
        accepted, log_steps, failed = sums
        self._set(state)
        self._accepted += accepted.numpy()
        self._log_steps += log_steps.numpy()
        self._failed += int(failed)

    def _record(self, steps):
        shape = self.num_chains, self.target.num_images
        log_w = self.log_weights.numpy().reshape(shape)
        d = self.point.distortion.numpy().astype(np.float64).reshape(shape)
        log_z, weights, ess = weighed(log_w)
        finite = np.where(np.isfinite(d), d, np.nan)
        self.rows["log_z"].append(self.offset + log_z)
        mean = np.nansum(weights * finite, axis=0)
        self.rows["distortion"].append(mean)
        self.rows["ess"].append(ess)
        self.rows["acceptance"].append(self._accepted / steps)
        self.rows["deviation"].append(np.nansum(weights * (finite - mean) ** 2, axis=0) ** 0.5)
        self.rows["step_sizes"].append(np.exp(self._log_steps / steps))
        self.rows["failed"].append(self._failed)
        self.done += 1
        few = ess < self.sampler.resample_below * self.num_chains
        if few.any() and not self.finished:
            self._resample(few, log_w, log_z, weights)

    def _resample(self, images, log_w, log_z, weights):
        """Draws the chains of some images anew by their weights, which then are equal: systematic resampling."""
        import tensorflow as tf

        rng = np.random.default_rng([self.seed, self.done, 1])
        chosen = np.arange(log_w.size).reshape(log_w.shape)
        for j in np.flatnonzero(images & np.isfinite(log_z)):
            places = (rng.random() + np.arange(self.num_chains)) / self.num_chains
            drawn = np.minimum(np.searchsorted(np.cumsum(weights[:, j]), places), self.num_chains - 1)
            chosen[:, j] = chosen[drawn, j]
            self.offset[j] += log_z[j]
            log_w[:, j] = 0.0
        self.point = Point(*(tf.gather(tensor, chosen.ravel()) for tensor in self.point))
        self.momentum = tf.gather(self.momentum, chosen.ravel())
        self.log_weights = tf.constant(log_w.ravel())


def seed_of(seed, step):
    """The seed of one step of a round, for stateless random functions."""
    import tensorflow as tf

    return tf.random.fold_in(tf.stack([tf.cast(seed, tf.int32), 20_170]), step)


def compiled(target: Target, sampler: Sampler, num_chains: int, tuned: bool, xla: bool):
    """The function that does some steps of a round; rounds of one target that differ in nothing of this share it.

    Returns:
        (state, images of all chains, inverse temperatures, table of step sizes, (how many steps, number of the first, seed)) ->
        (state, [acceptance of each image, log step sizes, failed proposals], each summed over the steps).
    """
    import tensorflow as tf

    key = sampler, num_chains, tuned, xla
    if key not in target.compiled:

        def run(state, images, betas, table, numbers):
            count, first, seed = numbers[0], numbers[1], numbers[2]
            dtype = state[0].dtype
            images_alone = tf.shape(state[0])[0] // num_chains
            zeros = [tf.zeros((images_alone,), dtype), tf.zeros_like(state[7]), tf.zeros((), tf.int32)]

            def step(i, state, sums):
                size = None if tuned else table[i]
                index = first + i
                state, found = _step(target, sampler, num_chains, images, state, betas[i], betas[i + 1], size, index, seed)
                return i + 1, state, [total + one for total, one in zip(sums, found)]

            _, state, sums = tf.while_loop(lambda i, *_: i < count, step, [tf.constant(0), list(state), zeros])
            return state, sums

        target.compiled[key] = tf.function(run, jit_compile=xla)
    return target.compiled[key]


def _step(target, sampler, num_chains, images, state, beta, new_beta, step_size, index, seed):
    """One step, in a TensorFlow graph: weights, transition, and the tuning where no step size is given."""
    import tensorflow as tf

    point, (momentum, log_weights, tuned, rate) = Point(*state[:5]), state[5:]
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
    )
    accepted = tf.cast(moved.accepted, dtype)
    by_image = tf.reduce_mean(tf.reshape(accepted, (num_chains, -1)), 0)
    if step_size is None:
        own = by_image if sampler.step_sizes_per == "image" else accepted
        tuned, rate = adapted(tuned, rate, index + 1, own, sampler.rule, sampler.acceptance)
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


def weighed(log_weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(log mean w (B,), normalized weights (M, B), effective sample size (B,)) of log weights (M, B).

    Where all weights of an image are 0, log mean w is -inf and the effective sample size 0.
    """
    highest = log_weights.max(axis=0)
    safe = np.where(np.isfinite(highest), highest, 0.0)
    w = np.exp(log_weights - safe)
    total = w.sum(axis=0)
    with np.errstate(divide="ignore"):
        log_z = np.log(total) + safe - np.log(len(log_weights))
    weights = w / np.where(total > 0, total, 1.0)
    square = (weights**2).sum(axis=0)
    return log_z, weights, np.where(square > 0, 1 / np.where(square > 0, square, 1.0), 0.0)
