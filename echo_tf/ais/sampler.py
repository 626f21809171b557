"""How annealed chains move, and what is done with their weights."""

from typing import NamedTuple

from echo_tf import arguments
from echo_tf.ais.transitions import TRANSITIONS

EFFECTIVE = 5  # of the shared draws, for each chain that starts from them: effective ones at an image's floor


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
    preconditioner: "none", or "pooled": steps are fitted to the mean covariance of the posteriors, which the preliminary round
        learns (`echo_tf.ais.preconditioning`); "persistent" alone.
    starts: draws of the prior that all images share, and at which chains start by their weights, each image's at an inverse
        temperature of its own (`echo_tf.ais.starts`); 0: chains start at a draw of the prior each.
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
    preconditioner: str = "none"
    starts: int = 0

    def check(self) -> None:
        """Raises ValueError for what no sampler can be."""
        choices = {
            "transition": tuple(TRANSITIONS),
            "rule": ("moving_average", "cumulative"),
            "step_sizes_per": ("image", "chain"),
            "weights": ("float64", "float32"),
            "preconditioner": ("none", "pooled"),
        }
        for name, allowed in choices.items():
            arguments.choice(name, getattr(self, name), allowed)
        if self.preconditioner != "none" and self.transition != "persistent":
            raise ValueError(f"a preconditioner needs the transition persistent, got {self.transition}.")
        arguments.integer("leapfrog_steps", self.leapfrog_steps)
        arguments.integer("starts", self.starts, 0)
        for name in ("memory", "resample_below", "acceptance"):
            arguments.number(name, getattr(self, name), "[0, 1)")

    @property
    def text(self) -> str:
        """All settings in a line."""
        values = self[:-1] if self.preconditioner != "none" else self[:-2]  # as it was before there were these two
        return " ".join([*map(str, values), *([f"starts={self.starts}"] if self.starts else [])])

    @property
    def gradients(self) -> int:
        """Gradients that one transition takes."""
        return self.leapfrog_steps + (self.transition == "tfp_hmc")


DEFAULT = Sampler()
