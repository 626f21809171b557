"""The importance-sampled log-likelihood of the test images under a trained autoencoder: tighter than its ELBO."""

import pydantic

from echo_tf.errors import InputError
from echo_tf.runs.place import Place
from echo_tf.runs.records import number, number_or_none
from echo_tf.runs.settings import MOST, Measurement
from echo_tf.runs.settings import Settings as Core

TABLES = ()  # it stands in the summary of the study that it measures
FIGURES = ()


class Settings(Measurement):
    """The settings of one measurement.

    model: the training whose model is measured; not Echo, whose q(z|x) has no known density and so no importance weights.
    samples: codes for each test image.
    """

    asks_of_model = ("dataset", "method", "latent_dim", "batch_size")
    kind: str = "likelihood"
    samples: int = pydantic.Field(default=200, ge=1, le=MOST)

    @pydantic.field_validator("model")
    @classmethod
    def _with_a_density(cls, model):
        if getattr(model, "method", None) == "echo":
            raise ValueError("the density q(z|x) of an Echo channel is not known, so there are no importance weights")
        return model


def needs(settings: Settings) -> list[Core]:
    return [settings.model]


def perform(settings: Settings, place: Place) -> dict:
    """Measures the model on its test images; see `echo_tf.evaluation.log_likelihood`."""
    from echo_tf.evaluation import log_likelihood
    from echo_tf.kinds._training import tested

    model = place.model(settings.model)
    if not model.measure_of_distortion.is_likelihood:
        raise InputError(f"the distortion of {settings.model.run_path} is no likelihood: there is nothing to measure.")
    x, split = tested(settings.model, place)
    found = log_likelihood(model, x, settings.samples, settings.model.batch_size, place.check, place.progress)
    return {"log_likelihood": {**found, "split": split, "images": len(x)}}


def rows(record: dict) -> list[dict]:
    """One row: -log p(x) in nats per test image."""
    found = record["log_likelihood"]
    return [
        {
            "neg_log_likelihood_nats": number(found["neg_log_likelihood_nats"]["mean"]),
            "neg_log_likelihood_standard_error_over_images_nats": number_or_none(
                found["neg_log_likelihood_nats"]["standard_error"]
            ),
            "samples_per_image": int(found["samples_per_image"]),
        }
    ]


def line(record: dict) -> str:
    found = rows(record)[0]
    return f"-log p(x) {found['neg_log_likelihood_nats']:.2f} nats per test image, {found['samples_per_image']} samples"
