"""How far the dimensions of a trained model's code tell the factors of variation of its dataset apart (Table 2, Figure 4)."""

import math
from typing import Annotated, Literal

import pydantic

from echo_tf.runs.place import Place
from echo_tf.runs.settings import MOST, Measurement
from echo_tf.runs.settings import Settings as Core

TABLES = ("disentanglement",)
FIGURES = ("factors", "traversals")

SCORES = {  # its name -> the columns that it gives
    "factor_vae": ("factor_vae_score",),
    "mig": ("mig_score",),
    "beta_vae": ("beta_vae_score",),
    "dci": ("dci_disentanglement_score", "dci_completeness_score", "dci_informativeness_score"),
    "sap": ("sap_score",),
    "modularity": ("modularity_score",),
    "total_correlation": ("code_total_correlation_nats",),
}
Size = Annotated[int, pydantic.Field(ge=1, le=100 * MOST)]


class Settings(Measurement):
    """The settings of one measurement.

    model: the training whose code is measured, of a dataset with factors. Images are drawn from all combinations of these
        (of its `factor_strides`), for a model of dependent factors as well.
    representations: "mean", "sampled" and "released"; see `echo_tf.disentangle.representation`. With "released" the pruning
        threshold is absolute; together they are the released protocol.
    scores: of `SCORES`.
    group_size: images that share a factor. num_train, num_eval: groups, or images of the classifiers. num_points: images for
        mutual information and total correlation. num_bins: of each dimension. threshold: of FactorVAE's pruning.
    """

    asks_of_model = ("dataset", "method", "latent_dim", "batch_size")
    kind: str = "disentangle"
    representations: tuple[Literal["mean", "sampled", "released"], ...] = ("mean", "sampled", "released")
    scores: tuple[Literal[tuple(SCORES)], ...] = tuple(SCORES)
    group_size: int = pydantic.Field(default=64, ge=2, le=MOST)
    num_train: Size = 10_000
    num_eval: Size = 5_000
    num_points: Size = 10_000
    num_bins: int = pydantic.Field(default=20, ge=2, le=MOST)
    threshold: float = pydantic.Field(default=0.05, ge=0, lt=1)

    @pydantic.field_validator("representations", "scores")
    @classmethod
    def _each_once(cls, names):
        if not names or len(set(names)) < len(names):
            raise ValueError(f"it must name each one once, and at least one, got {', '.join(names) or 'none'}")
        return names


def needs(settings: Settings) -> list[Core]:
    return [settings.model]


def perform(settings: Settings, place: Place) -> dict:
    """Encodes the images and makes the scores; see `echo_tf.kinds._disentangling`."""
    from echo_tf.kinds import _disentangling

    return _disentangling.perform(settings, place)


def rows(record: dict) -> list[dict]:
    """A row a representation: scores in [0, 1], and the code's Gaussian total correlation in nats, which alone may be infinite:
    null in a record, as JSON has no such number."""
    found = [
        {"representation": name, **{key: _score(key, value) for key, value in found["scores"].items()}}
        for name, found in record["representations"].items()
    ]
    if not found:
        raise ValueError("it has no representations")
    return found


def _score(name, value):
    return math.inf if value is None and name in SCORES["total_correlation"] else float(value)


def line(record: dict) -> str:
    parts = []
    for row in rows(record):
        scores = [f"{key.removesuffix('_score')} {row[key]:.3f}" for key in ("factor_vae_score", "mig_score") if key in row]
        parts.append(f"{row['representation']}: {', '.join(scores) or 'measured'}")
    return "; ".join(parts)
