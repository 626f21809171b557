"""Trains a group of autoencoders on a toy source of the isometric VAE paper, all at once: one for each lambda."""

from typing import Annotated, ClassVar, Literal

import pydantic

from echo_tf.runs.place import Place
from echo_tf.runs.records import number
from echo_tf.runs.settings import MOST, Positive
from echo_tf.runs.settings import Settings as Core

TABLES = ("rows",)
FIGURES = ()


class Settings(Core):
    """The settings of one group; the others are those of `isometry.stacked.Recipe`.

    source: "mix", "ramp" or "norm". loss: "square", "down" or "up". multipliers: lambda of each training; beta is 1 / lambda.
    points: of the source, drawn from the seed. network, form: whose weights are stacked.
    """

    folders: ClassVar = ("source", "loss")
    kind: str = "toy"
    source: Literal["mix", "ramp", "norm"]
    loss: Literal["square", "down", "up"]
    multipliers: tuple[Annotated[Positive, pydantic.Field(le=1e9)], ...] = pydantic.Field(min_length=1, max_length=1000)
    reduction: Literal["sum", "mean"] = "sum"
    points: int = pydantic.Field(default=50_000, ge=2, le=MOST)
    network: str = "nakagawa2021"
    form: str = "toy"
    width: float = pydantic.Field(default=1.0, ge=1e-3, le=100)
    epochs: int = pydantic.Field(default=500, ge=1, le=MOST)
    batch_size: int = pydantic.Field(default=128, ge=1, le=MOST)
    learning_rate: Positive = 1e-3
    averaging: float = pydantic.Field(default=0.999, ge=0, lt=1)

    @pydantic.model_validator(mode="after")
    def _of_enough_points(self):
        if self.points < self.batch_size:
            raise ValueError(f"setting 'points' is {self.points}, fewer than a batch of {self.batch_size}")
        if len(set(self.multipliers)) != len(self.multipliers):
            raise ValueError(f"setting 'multipliers' has a value twice: {self.multipliers}")
        return self

    @property
    def amount(self) -> tuple[int, str]:
        return self.epochs, "epochs"


def perform(settings: Settings, place: Place) -> dict:
    """Trains the group; see `echo_tf.isometry.stacked`."""
    from echo_tf.kinds import _toy

    return _toy.perform(settings, place)


def rows(record: dict) -> list[dict]:
    """A row a training: its objective lambda D + KL over the last epoch."""
    if record["status"] != "finished":
        return []
    last = record["history"][-1]
    found = [
        {"multiplier": m, "beta": 1 / m, "distortion_times_multiplier_nats": d, "rate_nats": r, "objective_nats": d + r}
        for m, d, r in zip(
            record["config"]["multipliers"], last["distortion_times_multiplier_nats"], last["rate_nats"], strict=True
        )
    ]
    [number(value) for row in found for value in row.values()]
    return found


def line(record: dict) -> str:
    every = rows(record)
    middle = every[len(every) // 2]
    steps = record["steps"]
    return (
        f"{len(every)} trainings of {steps:,} steps; at lambda {middle['multiplier']:g}: lambda D "
        f"{middle['distortion_times_multiplier_nats']:.3f} nats, rate {middle['rate_nats']:.3f} nats"
    )
