"""Step sizes of the leapfrog integrator: tuned along the way in a preliminary round, fixed by its table in a formal one.

Tuning within the chains whose weights count would break what makes the weights right (appendix C.3 of the paper), so that the
two rounds have seeds of their own.
"""

import hashlib
from typing import NamedTuple

import numpy as np

START, LOWEST, HIGHEST = 0.01, 1e-4, 0.5  # of the released code, for N(0, I): in units of the prior's scale
DRAWS = 10_000  # by which that is measured
GROW, SHRINK = 1.02, 0.98
MEMORY = 0.9  # of the moving average of acceptance
GAIN = 0.2  # of log step size, for an acceptance above its goal: follows temperatures that 2 % a step cannot


class StepSizes(NamedTuple):
    """What a preliminary round found.

    betas: (R,) its recorded inverse temperatures.
    centers: (R,) the geometric means of the inverse temperatures since the record before.
    values: (R, C) the geometric means of the step sizes there: C are of each image, or of each chain of each image.
    deviations: (R,) the standard deviation of the distortion over chains, root mean square over images.
    target: the digest of what was annealed.
    settings: which schedule and sampler it is of, as text.
    seed: of the round.
    factors: (R, k, k) L of the preconditioner; (0, 0, 0): none.
    floors: (B,) inverse temperatures at which the chains of an image start; (0,): at the prior (`echo_tf.ais.starts`).
    """

    betas: np.ndarray
    centers: np.ndarray
    values: np.ndarray
    deviations: np.ndarray
    target: str
    settings: str
    seed: int
    factors: np.ndarray = np.zeros((0, 0, 0))
    floors: np.ndarray = np.zeros(0)

    # two are equal if they are the same: pandas compares what a table carries
    __eq__, __ne__, __hash__ = object.__eq__, object.__ne__, object.__hash__

    def at(self, betas: np.ndarray) -> np.ndarray:
        """Step sizes at any inverse temperatures > 0, (n, C): log-linear in log beta."""
        x, known = np.log(betas), np.log(self.centers)
        logs = np.log(self.values)
        if len(known) == 1:
            return np.repeat(self.values, len(betas), axis=0)
        above = np.clip(np.searchsorted(known, x), 1, len(known) - 1)
        # the last segment's second half has no center beyond it
        share = np.clip((x - known[above - 1]) / (known[above] - known[above - 1]), 0, 1.5)[:, None]
        return np.exp(logs[above - 1] * (1 - share) + logs[above] * share)

    def factor_at(self, beta: float) -> np.ndarray:
        """L at an inverse temperature > 0, (k, k): of the center nearest in log beta; (0, 0): none."""
        nearest = int(np.argmin(np.abs(np.log(self.centers) - np.log(beta))))
        return self.factors[nearest] if len(self.factors) else np.zeros((0, 0))

    @property
    def digest(self) -> str:
        """A hash of all numbers."""
        arrays = self.betas, self.centers, self.values, self.deviations, self.factors, self.floors
        return hashlib.sha256(b"".join(np.asarray(a, np.float64).tobytes() for a in arrays)).hexdigest()[:16]

    def arrays(self) -> dict:
        """Named arrays, for a file."""
        return {name: np.array(value) for name, value in self._asdict().items()}

    @classmethod
    def of_arrays(cls, arrays) -> "StepSizes":
        """The opposite of `arrays`. Raises ValueError for arrays that lack some."""
        missing = [name for name in cls._fields if name not in arrays and name not in cls._field_defaults]
        if missing:
            raise ValueError(f"a table of step sizes must have {', '.join(cls._fields)}, but {', '.join(missing)} are missing.")
        plain = {"target": str, "settings": str, "seed": int}
        return cls(**{name: plain.get(name, np.asarray)(arrays[name]) for name in cls._fields if name in arrays})

    def check_numbers(self) -> None:
        """Raises ValueError for numbers that no round can have found, or that are not of one shape."""
        for name in ("betas", "centers", "values", "deviations"):
            array = np.asarray(getattr(self, name))
            wrong = int((~(np.isfinite(array) & (array > 0))).sum())
            if wrong or not array.size:
                what = f"got {wrong} that are not" if wrong else "got none"
                raise ValueError(
                    f"{name} of a table of step sizes must be finite numbers above 0, {what}: tune anew (round 1)."
                )
        records = len(self.betas)
        if {len(self.centers), len(self.values), len(self.deviations), len(self.factors) or records} != {records}:
            raise ValueError("the parts of a table of step sizes must have a row a beta each: tune anew (round 1).")
        if not np.isfinite(self.factors).all():
            raise ValueError("the preconditioners of a table of step sizes must be finite: tune anew (round 1).")
        if not (np.isfinite(self.floors) & (self.floors >= 0)).all():
            raise ValueError("the floors of a table of step sizes must be finite numbers of 0 or more: tune anew (round 1).")

    def check(self, target: str, settings: str, seed: int) -> None:
        """Raises ValueError unless the table can serve a formal round."""
        self.check_numbers()
        if self.target != target:
            raise ValueError(
                "the table of step sizes is of another decoder, distortion, prior or other images: tune for these (round 1)."
            )
        if self.settings != settings:
            raise ValueError(f"the table of step sizes is of another schedule or sampler ({self.settings}), not {settings}.")
        if self.seed == seed:
            raise ValueError(f"the formal round needs another seed than the preliminary one, got {seed} for both.")


def scale_of(target) -> float:
    """How wide the prior is: the standard deviation of draws about their mean, root mean square over dimensions; 1 of N(0, I).

    In units of it, one problem is the same whatever the units of its codes: f(z / s) under N(0, s^2 I) for every s.
    """
    if target.prior is None:
        return 1.0
    draws = np.asarray(target.sample_prior(DRAWS, (20_170, 2)), np.float64)
    found = float(np.sqrt(draws.var(axis=0).mean()))
    if not 0 < found < np.inf:
        raise ValueError(f"the prior must give codes that are finite and not all the same, got a deviation of {found:g}.")
    return found


def adapted(step_size, rate, count, accepted, rule: str, goal: float, scale: float):
    """One step of tuning, in TensorFlow; step sizes stay within 1e-4..0.5 of a scale.

    Args:
        step_size, rate: (C,).
        count: steps so far, with this one.
        accepted: (C,) shares of proposals taken at this step.
        rule: "moving_average": log step size gains in proportion to what a moving average of acceptance is above its goal. Or
            "cumulative": 2 % up or down by the mean acceptance since the first step, as in the released code, which
            answers the later the longer the run is.
        goal: acceptance aimed at.
        scale: that of the prior; 1 of the released code, whose limits are those of N(0, I).

    Returns:
        (step sizes, rate).
    """
    import tensorflow as tf

    if rule == "cumulative":
        rate = rate + (accepted - rate) / tf.cast(count, rate.dtype)
        factor = tf.where(rate > goal, tf.constant(GROW, step_size.dtype), tf.constant(SHRINK, step_size.dtype))
    else:
        rate = MEMORY * rate + (1 - MEMORY) * accepted
        factor = tf.exp(GAIN * (rate - goal))
    return tf.clip_by_value(step_size * factor, LOWEST * scale, HIGHEST * scale), rate
