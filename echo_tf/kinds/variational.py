"""The baseline of a curve: an encoder trained anew for each beta against the frozen decoder of a trained model.

What annealing adds shows in the distance to the curve: any encoder's R + beta D is at least -log Z.
"""

import pydantic

from echo_tf.runs.place import Place
from echo_tf.runs.records import number, number_or_none
from echo_tf.runs.settings import MOST, Measurement, Positive
from echo_tf.runs.settings import Settings as Core

TABLES = ("rows",)
FIGURES = ()  # it stands in the figure of the curve


class Settings(Measurement):
    """The settings of one baseline.

    model: the training whose decoder is taken; its prior N(0, I).
    betas: slopes in the curve's scale, that of a summed squared error, rising: the encoder of each goes on from the last one's.
    encoder_network, encoder_settings, encoder_width: an architecture of `models/`, of which the encoder is taken.
    train_images, epochs, batch_size, learning_rate: of each encoder, by Adam; the last weights are kept.
    num_images: of the test images, the first ones, as those of the curve. samples: codes of each.
    """

    asks_of_model = ("dataset", "network", "latent_dim", "batch_size")
    kind: str = "variational"
    betas: tuple[Positive, ...] = pydantic.Field(min_length=1)
    encoder_network: str = "wu2017"
    encoder_settings: dict[str, int | float | str | bool] = {}
    encoder_width: float = pydantic.Field(default=1.0, ge=1e-3, le=100)
    train_images: int | None = pydantic.Field(default=None, ge=2)
    epochs: int = pydantic.Field(ge=1, le=MOST)
    batch_size: int = pydantic.Field(default=100, ge=2, le=MOST)
    learning_rate: Positive = 1e-4
    num_images: int = pydantic.Field(default=50, ge=1, le=MOST)
    samples: int = pydantic.Field(default=100, ge=1, le=10_000)

    @pydantic.field_validator("betas")
    @classmethod
    def _rising(cls, betas):
        if list(betas) != sorted(set(betas)):
            raise ValueError(f"they must rise, got {list(betas)}")
        return betas

    @property
    def amount(self) -> tuple[int, str]:
        return self.epochs * len(self.betas), "epochs"


def needs(settings: Settings) -> list[Core]:
    return [settings.model]


def perform(settings: Settings, place: Place) -> dict:
    """Trains the encoders; see `echo_tf.kinds._variational`."""
    from echo_tf.kinds import _variational

    return _variational.perform(settings, place)


def rows(record: dict) -> list[dict]:
    """A row a beta: rate, squared error and R + beta D of the encoder, means over test images with their standard errors."""
    if record["status"] != "finished":
        return []
    names = ("beta", "rate_nats", "rate_standard_error_nats", "distortion_sse", "distortion_standard_error_sse")
    names += ("rate_plus_beta_distortion_nats", "rate_plus_beta_distortion_standard_error_nats")
    found = [{n: (number_or_none if "standard_error" in n else number)(one[n]) for n in names} for one in record["encoders"]]
    if not found:
        raise ValueError("it has no encoders")
    return found


def line(record: dict) -> str:
    last = record["encoders"][-1]
    return f"at beta {last['beta']:.3g}: rate {last['rate_nats']:.2f} nats, distortion {last['distortion_sse']:.2f} sse"
