"""How tight a curve is: upper and lower bounds of log Z on images that the model itself draws, in the curve's own settings."""

import pydantic

from echo_tf.runs.place import Place
from echo_tf.runs.settings import MOST, Measurement, Positive
from echo_tf.runs.settings import Settings as Core

TABLES = ("rows",)
FIGURES = ()  # the gaps stand in the figure of the curve's study


class Settings(Measurement):
    """The settings of one validation.

    model: the formal round whose plan and temperatures are taken.
    betas: where the gap is measured, none above the curve's max_beta.
    num_images: simulated at each beta.
    seed: of the simulations, and of all rounds, which have seeds of their own that are made of it.
    """

    kind: str = "bidirectional"
    betas: tuple[Positive, ...] = pydantic.Field(min_length=1)
    num_images: int = pydantic.Field(default=50, ge=2, le=MOST)

    @pydantic.field_validator("model")
    @classmethod
    def _a_curve(cls, model):
        if model.kind != "ais" or model.round != "formal":
            raise ValueError("it must be the formal round of a curve (kind ais)")
        if not model.is_bound:
            raise ValueError("its prior, mixture=product, is not what its chains start from, so that no round bounds log Z")
        return model

    @pydantic.model_validator(mode="after")
    def _on_the_curve(self):
        if not all(0 < beta <= self.model.max_beta for beta in self.betas):
            raise ValueError(f"setting 'betas' must be within (0, {self.model.max_beta:g}], got {list(self.betas)}")
        trained = self.model.model
        if self.model.distortion == "own" and getattr(trained, "distortion", None) == "bernoulli" and set(self.betas) != {1.0}:
            raise ValueError(f"of the distortion bernoulli, setting 'betas' can be [1] alone, got {list(self.betas)}")
        return self

    @property
    def amount(self) -> tuple[int, str]:
        return 3 * len(self.betas), "rounds"


def needs(settings: Settings) -> list[Core]:
    return [settings.model]


def perform(settings: Settings, place: Place) -> dict:
    """Measures the gaps; see `echo_tf.ais.bidirectional`."""
    from echo_tf.kinds import _annealing

    return _annealing.perform_bounds(settings, place)


def rows(record: dict) -> list[dict]:
    """A row a beta: bounds and gap, means over simulated images, nats."""
    names = ("beta", "lower_nats", "upper_nats", "gap_nats", "gap_standard_error_nats")
    return [{name: float(one[name]) for name in names} for one in record["bounds"]]


def line(record: dict) -> str:
    return ", ".join(f"gap {one['gap_nats']:.2f} nats at beta {one['beta']:.3g}" for one in rows(record))
