"""A trained VAE as a scaled isometric embedding: its latent dimensions by importance, and what it says of the density.

Of a group of toy trainings (kind `toy`), every one of them; of an autoencoder, its test images and its traversals.
"""

import pydantic

from echo_tf.alive import alive
from echo_tf.runs.place import Place
from echo_tf.runs.records import number, number_or_none, table
from echo_tf.runs.settings import MOST, Measurement
from echo_tf.runs.settings import Settings as Core

TABLES = ("isometric",)
FIGURES = ("isometric_spectrum", "isometric_traversals")
COLUMNS = ("latent", "kl_nats", "inverse_variance", "derivative", "derivative_jvp", "norm", "norm_sd", "norm_plus_variance")
COLUMNS += ("alive",)
LOSSES = ("rate_nats", "distortion", "theoretical_coding_loss", "mean_abs_cosine")
CORRELATIONS = ("prior", "bound", "posterior", "objective")
CHANNELS = ("echo", "vae", "info-vae")  # methods whose channel the analysis knows


class Settings(Measurement):
    """The settings of one analysis.

    model: the training whose model is analysed: of a method with a Gaussian channel and a standard normal prior, or Echo.
    num_images: of the test images, at most the first so many; of toy trainings all points are taken.
    """

    kind: str = "isometry"
    num_images: int = pydantic.Field(default=10_000, ge=2, le=MOST)

    @pydantic.field_validator("model")
    @classmethod
    def _with_a_known_channel(cls, model):
        if model.kind != "toy" and getattr(model, "method", None) not in CHANNELS:
            raise ValueError(
                f"it is of a Gaussian channel, or Echo's counterpart, and needs one of the methods {', '.join(CHANNELS)}, "
                f"got {getattr(model, 'method', model.kind)!r}"
            )
        if model.kind != "toy" and model.beta <= 0:
            raise ValueError(f"it needs a beta above 0, got {model.beta}")
        return model


def needs(settings: Settings) -> list[Core]:
    return [settings.model]


def perform(settings: Settings, place: Place) -> dict:
    """Analyses the model; see `echo_tf.isometry.analysis.examine`."""
    from echo_tf.kinds import _isometry

    return _isometry.perform(settings, place)


def rows(record: dict) -> list[dict]:
    """A row a latent dimension (of each training of a toy group, and of its averaged and its last weights)."""
    found = []
    for training in trainings(record):
        shared = {name: training[name] for name in ("multiplier", "weights") if name in training}
        found += [{**shared, **row} for row in table(training["table"], COLUMNS)]
        losses = {name: number_or_none(value) for name, value in training["losses"].items()}
        number(losses["transform_loss"]), number(losses["coding_loss"]), [losses[name] for name in LOSSES]
        if record["config"]["model"].get("kind") == "toy":
            number(shared["multiplier"]), f"{shared['weights']:s}"
            [number_or_none(value) for name in ("correlations", "slopes") for value in training[name].values()]
            [training["correlations"][name] for name in CORRELATIONS]
    if not found:
        raise ValueError("it has no trainings")
    return found


def trainings(record: dict) -> list[dict]:
    """What was found of each model, with the dimensions and the theoretical coding loss that today's `alive` makes of the
    rates, whatever the threshold was when they were measured."""
    found = []
    for one in record["trainings"]:
        used = alive(one["table"]["kl_nats"], one.get("idle_nats", 0.0)).tolist()
        beta = 1 / one["multiplier"] if "multiplier" in one else record["config"]["model"]["beta"]
        losses = {**one["losses"], "theoretical_coding_loss": sum(used) * beta / 2}
        found.append({**one, "table": {**one["table"], "alive": used}, "losses": losses})
    return found


def line(record: dict) -> str:
    every = trainings(record)
    used = [sum(training["table"]["alive"]) for training in every]
    norms = [n for training in every for n, a in zip(training["table"]["norm"], training["table"]["alive"]) if a]
    mean = f"mean norm {sum(norms) / len(norms):.3f}" if norms else "no norm"
    return f"{sum(used)} of {sum(len(t['table']['alive']) for t in every)} latent dimensions are alive, {mean}"
