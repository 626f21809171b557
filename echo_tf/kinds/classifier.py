"""Trains a small classifier, in whose features distances between images can be taken (`features` of kind `ais`)."""

from typing import ClassVar

import pydantic

from echo_tf.runs.place import Place
from echo_tf.runs.settings import Positive
from echo_tf.runs.trainings import Training

TABLES = ("rows",)
FIGURES = ()


class Settings(Training):
    """The settings of one training.

    dataset: with labels. network: an architecture of `models/` with a `classifier`, whose layer "features" counts.
    network_settings, width: as of kind `autoencoder`. learning_rate: of Adam.
    """

    folders: ClassVar = ("dataset", "kind")

    kind: str = "classifier"
    network: str = "huang2020"
    network_settings: dict[str, int | float | str | bool] = {}
    width: float = pydantic.Field(default=1.0, ge=1e-3, le=100)
    learning_rate: Positive = 1e-3


def perform(settings: Settings, place: Place) -> dict:
    """Trains and tests the classifier; see `echo_tf.kinds._classifying`."""
    from echo_tf.kinds import _classifying

    return _classifying.perform(settings, place)


def rows(record: dict) -> list[dict]:
    """One row: cross-entropy and accuracy on the test images."""
    if record["status"] != "finished":
        return []
    test, names = record["test"], ("cross_entropy_nats", "accuracy_share")
    return [{**{name: float(test[name]) for name in names}, "parameters": int(record["parameters"])}]


def line(record: dict) -> str:
    return f"accuracy {record['test']['accuracy_share']:.2%} on {record['test']['images']:,} images"
