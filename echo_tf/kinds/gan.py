"""Trains a generative adversarial network, whose generator is the decoder of a curve; says whether it has collapsed."""

from typing import ClassVar, Literal

from echo_tf.kinds._generators import Generator, line_of, row_of
from echo_tf.runs.place import Place
from echo_tf.runs.settings import NotNegative

TABLES = ("rows",)
FIGURES = ("generators",)


class Settings(Generator):
    """The settings of one training.

    loss: "non_saturating" or "wasserstein".
    penalty_weight: of the gradient penalty. entropy_weight: of the binarized representation entropy (BRE).
    The others: as of `Generator`.
    """

    folders: ClassVar = ("dataset", "kind", "network")
    named_by: ClassVar = ("latent_dim",)

    kind: str = "gan"
    loss: Literal["non_saturating", "wasserstein"] = "non_saturating"
    penalty_weight: NotNegative = 0.0
    entropy_weight: NotNegative = 0.0


def perform(settings: Settings, place: Place) -> dict:
    """Trains the networks and looks at their samples; see `echo_tf.kinds._adversarial`."""
    from echo_tf.kinds import _adversarial

    return _adversarial.perform_gan(settings, place)


def rows(record: dict) -> list[dict]:
    """One row: spread of the samples, distances to training images, classes, beside what test images have."""
    return [row_of(record)] if record["status"] == "finished" else []


def line(record: dict) -> str:
    return line_of(record)
