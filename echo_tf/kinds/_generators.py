"""The settings that trainings of decoders by an adversary share, and what is read of their records."""

import math

import pydantic

from echo_tf.runs.records import number
from echo_tf.runs.settings import MOST, Positive
from echo_tf.runs.trainings import Training


class Generator(Training):
    """A decoder that an adversary trains.

    network: an architecture of `models/` with a discriminator. network_settings, width: as of kind `autoencoder`.
    pixel_range: what the values of images are mapped onto; None: as the dataset has them, [0, 1] if its pixels are integers.
    learning_rate, beta_1, beta_2: of Adam. discriminator_learning_rate: None: the same.
    samples: from which the signs of a collapse are read.
    """

    network: str = "wu2017"
    network_settings: dict[str, int | float | str | bool] = {}
    width: float = pydantic.Field(default=1.0, ge=1e-3, le=100)
    latent_dim: int = pydantic.Field(default=10, ge=1, le=MOST)
    pixel_range: tuple[float, float] | None = None
    learning_rate: Positive = 2e-4
    discriminator_learning_rate: Positive | None = None
    beta_1: float = pydantic.Field(default=0.5, ge=0, lt=1)
    beta_2: float = pydantic.Field(default=0.999, ge=0, lt=1)
    samples: int = pydantic.Field(default=1000, ge=2, le=100_000)

    @pydantic.field_validator("pixel_range")
    @classmethod
    def _a_range(cls, given):
        if given is not None and not -math.inf < given[0] < given[1] < math.inf:
            raise ValueError(f"it must be [low, high], low below high, finite, got {list(given)}")
        return given


def row_of(record: dict) -> dict:
    """What tells a collapse, a number a column; "collapsed" lists its signs, and is "no" where there are none."""
    found = record["collapse"]
    numbers = {name: float(number(value)) for name, value in found.items() if not isinstance(value, list)}
    return {**numbers, "parameters": int(record["parameters"]), "collapsed": "; ".join(found["signs"]) or "no"}


def line_of(record: dict) -> str:
    """The signs of a collapse in words."""
    found = record["collapse"]
    said = f"samples spread over {found['spread_sse']:.3g}, test images over {found['test_spread_sse']:.3g}"
    if "covered_classes" in found:
        said += f"; {found['covered_classes']} of {found['classes']} classes"
    return said + (f"; SIGNS OF A COLLAPSE: {'; '.join(found['signs'])}" if found["signs"] else "")
