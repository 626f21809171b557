"""Trains an adversarial autoencoder, whose codes a discriminator pushes to N(0, I)."""

from typing import ClassVar, Literal

from echo_tf.kinds._generators import Generator, line_of, row_of
from echo_tf.runs.place import Place
from echo_tf.runs.settings import Positive

TABLES = ("rows",)
FIGURES = ("generators",)


class Settings(Generator):
    """The settings of one training.

    encoder: "deterministic", a code is a function of its image; "stochastic": a draw from a Gaussian.
    encoder_learning_rate: of the encoder against the discriminator; None: learning_rate, that of encoder and decoder.
    The others: as of `Generator`.
    """

    folders: ClassVar = ("dataset", "kind", "network")
    named_by: ClassVar = ("latent_dim",)

    kind: str = "aae"
    encoder: Literal["deterministic", "stochastic"] = "deterministic"
    encoder_learning_rate: Positive | None = None


def perform(settings: Settings, place: Place) -> dict:
    """Trains and tests the networks; see `echo_tf.kinds._adversarial`."""
    from echo_tf.kinds import _adversarial

    return _adversarial.perform_aae(settings, place)


def rows(record: dict) -> list[dict]:
    """One row: the squared error of test images, how far their codes are from N(0, I), and what tells a collapse."""
    if record["status"] != "finished":
        return []
    test = record["test"]
    return [{**{name: float(test[name]) for name in ("distortion_sse", "squared_mmd")}, **row_of(record)}]


def line(record: dict) -> str:
    return f"squared error {record['test']['distortion_sse']:.2f} per test image; {line_of(record)}"
