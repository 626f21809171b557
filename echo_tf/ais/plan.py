"""The settings of a rate-distortion curve, in two rounds: presets, what may be set, and the schedule of each round."""

from typing import NamedTuple

import numpy as np

from echo_tf import arguments
from echo_tf.ais.sampler import EFFECTIVE, Sampler
from echo_tf.ais.schedule import HALF_WIDTH, NEGLIGIBLE, Schedule, adapted_schedule, geometric_schedule, sigmoid_schedule
from echo_tf.ais.step_sizes import StepSizes
from echo_tf.errors import nearest

SCHEDULES = ("sigmoid", "adapted")


class Plan(NamedTuple):
    """What both rounds share, but for the temperatures of the preliminary one.

    num_temperatures: N, of the formal round. tuning_temperatures: of the preliminary one; None: N.
    num_betas: R, at how many the curve has points. max_beta: the highest.
    num_chains: M, of each image.
    schedule: "sigmoid", the paper's, or "adapted" to the spread of the distortion that the preliminary round found.
    sampler: how chains move.
    """

    num_temperatures: int
    num_betas: int
    max_beta: float
    num_chains: int = 40
    schedule: str = "sigmoid"
    tuning_temperatures: int | None = None
    sampler: Sampler = Sampler()

    def check(self) -> None:
        """Raises ValueError for what cannot be."""
        self.sampler.check()
        for name, least in (("num_temperatures", 1), ("num_betas", 1), ("num_chains", 2)):
            arguments.integer(name, getattr(self, name), least)
        if self.sampler.starts and self.sampler.starts < 2 * EFFECTIVE * self.num_chains:
            least = 2 * EFFECTIVE * self.num_chains
            raise ValueError(
                f"starts must be 0 or at least {2 * EFFECTIVE} a chain, here {least:,}, got {self.sampler.starts!r}."
            )
        arguments.choice("schedule", self.schedule, SCHEDULES)
        self.preliminary(1.0)
        if self.num_temperatures < self.num_betas + 1:
            raise ValueError(
                f"num_temperatures must be larger than num_betas, got {self.num_temperatures} and {self.num_betas}."
            )

    def preliminary(self, spread: float) -> Schedule:
        """The schedule of the preliminary round: the sigmoid; for "adapted", equal factors from where weights begin to spread.

        spread: the standard deviation of the distortion under the prior.
        """
        number = self.tuning_temperatures or self.num_temperatures
        records = min(self.num_betas, number - 1)
        if self.schedule == "sigmoid":
            return sigmoid_schedule(number, self.max_beta, records, HALF_WIDTH)
        return geometric_schedule(number, self.max_beta, records, min(NEGLIGIBLE / spread, self.max_beta / 2))

    def formal(self, table: StepSizes) -> Schedule:
        """The schedule of the formal round."""
        if self.schedule == "sigmoid":
            return sigmoid_schedule(self.num_temperatures, self.max_beta, self.num_betas, HALF_WIDTH)
        return adapted_schedule(self.num_temperatures, self.max_beta, self.num_betas, table.betas, table.deviations)

    def unadapted(self) -> Schedule:
        """The schedule where no preliminary round has told the spread of the distortion, which then counts as 1 / beta."""
        betas = np.geomspace(self.max_beta * 1e-6, self.max_beta, 50)
        return self.formal(StepSizes(betas, betas, np.ones((50, 1)), 1 / betas, "", "", 0))

    @property
    def tuning_sampler(self) -> Sampler:
        """How chains move in a preliminary round.

        Where the spread of d is to be learned, too, they are resampled: one that is stuck elsewhere tells nothing of it.
        """
        return self.sampler._replace(resample_below=0.5 if self.schedule == "adapted" else 0.0)

    @property
    def tuned_for(self) -> str:
        """What a table of step sizes is good for, as text: two plans of equal text can share one."""
        sampler = self.sampler._replace(resample_below=0.0, weights="float64")
        number = self.tuning_temperatures or self.num_temperatures
        return f"beta <= {self.max_beta:g}, {self.schedule}, {number} temperatures, {sampler.text}"


ORIGINAL = Sampler("tfp_hmc", leapfrog_steps=20)
BETTER = Sampler(
    "persistent", leapfrog_steps=1, memory=0.95, acceptance=0.9, resample_below=0.5, preconditioner="pooled", starts=10_000
)

# max_beta is for squared errors of images in [0, 1]: noise of standard deviation 0.0037 a pixel (appendix C.2)
PRESETS = {
    "paper": Plan(60_000, 2_000, 36_000.0, 40, "sigmoid", None, ORIGINAL),
    "short": Plan(10_000, 200, 36_000.0, 40, "adapted", 2_500, BETTER._replace(starts=100_000)),
    "quick": Plan(2_000, 50, 1_000.0, 20, "adapted", 1_000, BETTER),
    "smoke": Plan(200, 10, 10.0, 8, "adapted", 200, BETTER._replace(starts=1_000)),
}


def plan(preset: str | Plan = "short", **settings) -> Plan:
    """A preset, or a `Plan`, with some settings replaced: those of a `Plan` or a `Sampler`, by name; None leaves one as it is.

    Raises:
        ValueError: for an unknown preset or setting, or values that cannot be.
    """
    found = preset if isinstance(preset, Plan) else PRESETS[arguments.choice("preset", preset, PRESETS)]
    given = {name: value for name, value in settings.items() if value is not None}
    for name in given:
        known = [*Plan._fields, *Sampler._fields]
        if name not in known:
            raise ValueError(f"there is no setting {name!r}{nearest(name, known)}; allowed are {', '.join(known)}.")
    if "leapfrog_steps" in given and "memory" not in given and found.sampler.transition == "persistent":
        # the momentum lasts for about as many gradients as before
        given["memory"] = found.sampler.memory ** (given["leapfrog_steps"] / found.sampler.leapfrog_steps)
    sampler = found.sampler._replace(**{name: given.pop(name) for name in Sampler._fields if name in given})
    found = found._replace(**{"sampler": sampler, **given})
    found.check()
    return found
