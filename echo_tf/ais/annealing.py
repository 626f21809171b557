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

from echo_tf import arguments
from echo_tf.ais.averages import weighed
from echo_tf.ais.preconditioning import factor_of
from echo_tf.ais.sampler import DEFAULT
from echo_tf.ais.schedule import Schedule
from echo_tf.ais.starts import Starts
from echo_tf.ais.step_sizes import START, StepSizes, scale_of
from echo_tf.ais.steps import compiled, seed_of
from echo_tf.ais.target import Point, Target

STEPS_A_CALL = 32  # so that a request to stop is heard
WORTH_COMPILING = 2_000  # transitions


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

    # two are equal if they are the same: pandas compares what a table carries
    __eq__, __ne__, __hash__ = object.__eq__, object.__ne__, object.__hash__

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
        start: (B, k) exact draws of the posteriors, from which all chains of an image go back; None: chains start at the prior,
            or from the sampler's `starts` at the floors of the table; without a table, at floors that these choose.

    Raises:
        ValueError: for a sampler that none can be, a table that no round can have found, or a start of another shape.
    """

    def __init__(self, target: Target, schedule: Schedule, sampler=DEFAULT, num_chains=40, seed=0, step_sizes=None, start=None):
        sampler.check()
        num_chains = arguments.integer("num_chains", num_chains)
        self.target, self.schedule, self.sampler, self.seed = target, schedule, sampler, int(seed)
        self.num_chains, self.table = int(num_chains), step_sizes
        self.scale = scale_of(target)  # of the prior
        self._unit = 1.0 if sampler.rule == "cumulative" else self.scale
        self._width = min(STEPS_A_CALL, int(np.diff([0, *schedule.ends]).max()))
        columns = target.num_images * (num_chains if sampler.step_sizes_per == "chain" else 1)
        if step_sizes is not None:
            step_sizes.check_numbers()
            if step_sizes.values.shape[1] != columns:
                raise ValueError(f"the table of step sizes has {step_sizes.values.shape[1]} columns, needed are {columns}.")
        self.images = target.tiled(num_chains)
        # a plain graph takes milliseconds a step more, XLA seconds once
        xla = int(schedule.ends[-1]) >= WORTH_COMPILING and target.fast_under_xla
        self._run = compiled(target, sampler, self.num_chains, step_sizes is None, xla, self._unit)
        if start is not None and np.shape(start) != (target.num_images, target.latent_dim):
            raise ValueError(f"start must be {(target.num_images, target.latent_dim)}, got {np.shape(start)}.")
        self._take_starts()
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
        """The table of step sizes that the round, one of rising beta, has found; see `StepSizes`."""
        found, floors = self.result(), self.floors if self.starts else np.zeros(0)
        deviations = np.sqrt(np.mean(np.where(np.isfinite(found.deviation), found.deviation, 0.0) ** 2, axis=1))
        centers = np.array([np.exp(np.log(betas[1:]).mean()) for betas in self.schedule.segments])
        deviations, factors = np.maximum(deviations, 1e-12), np.array(self.factors)
        said = self.target.digest, settings, self.seed
        return StepSizes(found.betas, centers, found.step_sizes, deviations, *said, factors, floors)

    def arrays(self) -> dict:
        """Everything that the rest of the round depends on, by name."""
        state = {f"state_{i}": np.asarray(tensor) for i, tensor in enumerate(self._state())}
        rows = {f"row_{name}": np.array(values) for name, values in self.rows.items()}
        return {
            **state,
            **rows,
            "factor": self.factor,
            "factors": np.array(self.factors),
            "floors": self.floors,
            "offset": self.offset,
            "identity": np.array(self.identity),
        }

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
        self.factor, self.factors = np.array(arrays["factor"]), list(arrays["factors"])
        self.floors = np.array(arrays.get("floors", self.floors))
        self.offset, self.done = np.array(arrays["offset"]), done

    @property
    def identity(self) -> str:
        """What round this is, as text: of target, schedule, sampler, chains, seed and step sizes."""
        table = self.table.digest if self.table is not None else "tuned"
        said = [self.target.digest, self.schedule.digest, self.sampler.text, self.num_chains, self.seed, table, self._start]
        return " ".join(map(str, said))

    def _take_starts(self):
        """The draws that chains start at, and the floors of the images: inverse temperatures below which no chain goes."""
        self.starts, self.floors = None, np.zeros(self.target.num_images)
        if self.sampler.starts:
            highest = float(self.schedule.betas.max())
            self.starts = Starts(self.target, self.sampler.starts, self.seed)
            chosen = self.table.floors if self.table is not None else self.starts.floors(self.num_chains, highest)
            if len(chosen) != len(self.floors):
                said = f"the table of step sizes has floors of {len(chosen)} images, needed are {len(self.floors)}"
                raise ValueError(f"{said}: tune anew (round 1).")
            self.floors = np.minimum(chosen, highest)

    def _begin(self, columns, start):
        import tensorflow as tf

        chains, dtype = self.num_chains * self.target.num_images, self.target.precision
        self.offset, self.done = np.zeros(self.target.num_images), 0
        if start is not None:
            z = tf.tile(tf.constant(start, dtype), [self.num_chains, 1])
        elif self.starts:
            z = self.starts.drawn(self.floors, self.num_chains, np.random.default_rng([self.seed, 3]))
            z = tf.constant(z.reshape(chains, -1), dtype)
            self.offset = self.starts.curve(self.floors)[0]
        else:
            z = self.target.sample_prior(chains, self.seed_at_start)
        self._back = start is not None
        self._start = "prior" if start is None else f"{float(np.sum(np.abs(start))):.6g}"
        self.point = self.target.at(z, self.images)
        self.momentum = tf.random.stateless_normal(z.shape, self._seed(-2), dtype=dtype)
        self.log_weights = tf.zeros((chains,), tf.float64)
        self.step_size = tf.fill((columns,), tf.constant(START * self._unit, dtype))
        self.rate = tf.ones((columns,), dtype) * self.sampler.acceptance
        if self.sampler.rule == "cumulative":
            self.rate = tf.zeros((columns,), dtype)
        self.factor = np.eye(self.target.latent_dim) if self.sampler.preconditioner != "none" else np.zeros((0, 0))
        self.factors = []  # of the segments so far
        self.rows = {name: [] for name in Annealed._fields[1:]}

    @property
    def seed_at_start(self):
        """Of the draws at which chains start, as `Target.sample_prior` takes it."""
        return self._seed(-1)

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
            self.factor = self.table.factor_at(max(betas[count // 2 + 1], 1e-300))
        table, factor = (tf.constant(array, self.target.precision) for array in (table, self.factor))
        numbers = tf.constant([count, first, self.seed], tf.int32)
        padded, floors = (tf.constant(array, tf.float64) for array in (padded, self.floors))
        state, sums = self._run(self._state(), self.images, padded, floors, table, factor, numbers)
        accepted, log_steps, failed = sums
        self._set(state)
        self._accepted += accepted.numpy()
        self._log_steps += log_steps.numpy()
        self._failed += int(failed)

    def _record(self, steps):
        shape = self.num_chains, self.target.num_images
        log_w = self.log_weights.numpy().reshape(shape)
        d = self.point.distortion.numpy().astype(np.float64).reshape(shape)
        if self.starts and self._back and self.done + 1 == len(self.schedule.ends):
            log_w = log_w - self.starts.returned(self.floors, d)
        log_z, weights, ess = weighed(log_w)
        finite = np.where(np.isfinite(d), d, np.nan)
        mean = np.nansum(weights * finite, axis=0)
        deviation = np.nansum(weights * (finite - mean) ** 2, axis=0) ** 0.5
        found = np.stack([self.offset + log_z, mean, deviation, ess])
        beta = self.schedule.recorded[self.done]
        if self.starts and not self._back and (self.floors > beta).any():
            *curve, effective = self.starts.curve(np.full(len(mean), beta))
            found = np.where(self.floors > beta, [*curve, np.minimum(effective, self.num_chains)], found)
        for name, values in zip(("log_z", "distortion", "deviation", "ess"), found):
            self.rows[name].append(values)
        self.rows["acceptance"].append(self._accepted / steps)
        self.rows["step_sizes"].append(np.exp(self._log_steps / steps))
        self.rows["failed"].append(self._failed)
        self.factors.append(self.factor)
        if self.table is None and self.sampler.preconditioner != "none":
            found = factor_of(self.point.z.numpy().astype(np.float64).reshape(*shape, -1), weights)
            self.factor = self.factor if found is None else found
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
