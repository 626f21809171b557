"""The rate-distortion curve of a trained decoder by annealed importance sampling: two rounds, each a run."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pydantic

from echo_tf.runs.place import Place
from echo_tf.runs.records import Result, number, table
from echo_tf.runs.settings import MOST, NAME, Measurement, Positive, Switch, from_recorded
from echo_tf.runs.settings import Settings as Core

TABLES = ("annealed",)
FIGURES = ("annealed", "reconstructions")
FIDELITY = {
    "rule": Switch("moving_average", "cumulative"),
    "weights": Switch("float64", "float32"),
    "mixture": Switch("joint", "product"),
}
COLUMNS = ("beta", "rate_nats", "rate_standard_error_nats", "neg_log_z_nats", "neg_log_z_standard_error_nats")
COLUMNS += ("effective_chains", "acceptance_share")
UNITS = ("nats", "sse", "feature_sse", "units")
OF_MIXTURES = ("wide_scale", "mixture")


class Settings(Measurement):
    """The settings of one round.

    model: the training whose decoder is annealed.
    round: "preliminary" tunes step sizes, "formal" takes them from the preliminary round and gives the curve.
    tuning_seed, formal_seed: of the two rounds.
    label: what to call the sampler in names and figures.
    first_image, num_images: of the test images (of the training images, where a dataset has no others); parts of a curve on
        several machines are merged by tables and figures.
    distortion: "own", that of the training, or "squared_error" of the images that the decoder's output stands for.
    blur: sigma of a Gaussian, in pixels, that blurs what the decoder gives; None: it does not.
    wide_weight: of N(0, wide_scale^2 I) in the prior beside N(0, I); None: the prior is the model's own. mixture: whether
        "joint" or the released code's "product" of mixtures, whose -log Z is no bound; see `echo_tf.ais.priors.ScaleMixture`.
    features: the training (kind `classifier`) of a network in whose features images are compared; None: in pixels.
    precision: of decoder and chains.
    reference: exact values beside the curve, "linear_vae" in closed form, "grid" by a sum over a grid of two-dimensional codes.
    The others: as of `echo_tf.ais.plan.Plan` and `echo_tf.ais.Sampler`.
    """

    asks_of_model = ("dataset", "network", "latent_dim", "batch_size")
    kind: str = "ais"
    fidelity: Literal["paper", "released"] = "paper"
    round: Literal["preliminary", "formal"] = "formal"
    tuning_seed: int = pydantic.Field(default=6, ge=0, lt=2**31)
    formal_seed: int = pydantic.Field(default=7, ge=0, lt=2**31)
    label: str | None = pydantic.Field(default=None, pattern=NAME)
    first_image: int = pydantic.Field(default=0, ge=0)
    num_images: int = pydantic.Field(default=50, ge=1, le=MOST)
    distortion: Literal["own", "squared_error"] = "squared_error"
    blur: float | None = pydantic.Field(default=None, ge=1e-3, le=1000)
    wide_weight: float | None = pydantic.Field(default=None, gt=0, lt=1)
    wide_scale: Positive = 10.0
    mixture: Literal["joint", "product"]
    features: pydantic.SerializeAsAny[Core] | None = None
    precision: Literal["float32", "float64"] = "float32"
    reference: Literal["linear_vae", "grid"] | None = None
    num_temperatures: int = pydantic.Field(ge=2, le=100 * MOST)
    tuning_temperatures: int | None = pydantic.Field(default=None, ge=2, le=100 * MOST)
    num_betas: int = pydantic.Field(ge=1, le=MOST)
    max_beta: Positive
    num_chains: int = pydantic.Field(default=40, ge=2, le=MOST)
    schedule: Literal["sigmoid", "adapted"] = "sigmoid"
    transition: Literal["tfp_hmc", "persistent"] = "tfp_hmc"
    leapfrog_steps: int = pydantic.Field(default=20, ge=1, le=1000)
    memory: float = pydantic.Field(default=0.0, ge=0, lt=1)
    resample_below: float = pydantic.Field(default=0.0, ge=0, lt=1)
    acceptance: float = pydantic.Field(default=0.65, gt=0, lt=1)
    step_sizes_per: Literal["image", "chain"] = "image"
    preconditioner: Literal["none", "pooled"] = "none"
    starts: int = pydantic.Field(default=0, ge=0, le=MOST)
    rule: Literal["moving_average", "cumulative"]
    weights: Literal["float64", "float32"]

    @pydantic.field_validator("features", mode="before")
    @classmethod
    def _features_of_their_kind(cls, values):
        return values if values is None or isinstance(values, Core) else from_recorded(values)

    @pydantic.field_validator("features")
    @classmethod
    def _a_classifier(cls, features):
        if features is not None and features.kind != "classifier":
            raise ValueError(f"it must be the training of a classifier (kind classifier), got kind {features.kind}")
        return features

    @pydantic.model_validator(mode="before")
    @classmethod
    def _decide_switches(cls, values):
        return {**{key: switch.chosen(values.get("fidelity")) for key, switch in FIDELITY.items()}, **values}

    @pydantic.model_validator(mode="after")
    def _two_rounds(self):
        if self.formal_seed == self.tuning_seed:
            raise ValueError(f"formal_seed and tuning_seed must differ, got {self.formal_seed} for both")
        if self.num_temperatures <= self.num_betas:
            raise ValueError(
                f"setting 'num_temperatures' must be larger than num_betas, got {self.num_temperatures} and {self.num_betas}"
            )
        return self

    @pydantic.model_validator(mode="after")
    def _features_by_squared_error(self):
        if self.features is not None and self.distortion != "squared_error":
            raise ValueError(f"with 'features', setting 'distortion' must be squared_error, got {self.distortion}")
        return self

    @pydantic.model_validator(mode="after")
    def _a_curve_that_is_known(self):
        if self.reference == "grid" and self.model.latent_dim != 2:
            raise ValueError(f"setting 'reference' can be grid for codes of two dimensions alone, got {self.model.latent_dim}")
        if self.reference == "linear_vae" and (self.wide_weight or self.features):
            raise ValueError("setting 'reference' can be linear_vae for N(0, I) and pixels alone: no wide_weight, no features")
        return self

    @property
    def is_changed(self) -> bool:
        """Whether decoder, prior or what is compared are others than the model's own."""
        return any((self.blur, self.wide_weight, self.features))

    @classmethod
    def foreign(cls, values: dict) -> dict[str, str]:
        return {} if values.get("wide_weight") else dict.fromkeys(OF_MIXTURES, "the model's own prior")

    def recorded(self) -> dict:
        return {**super().recorded(), **({"features": self.features.recorded()} if self.features else {})}

    @property
    def switches(self) -> dict:
        left_out = self.foreign({"wide_weight": self.wide_weight})
        return {key: getattr(self, key) for key in FIDELITY if key not in left_out}

    @property
    def is_bound(self) -> bool:
        """Whether -log Z is an upper bound in expectation; see `echo_tf.ais.priors.ScaleMixture`."""
        return not (self.wide_weight and self.mixture == "product")

    @property
    def amount(self) -> tuple[int, str]:
        number = (self.tuning_temperatures or self.num_temperatures) if self.round == "preliminary" else self.num_temperatures
        return min(self.num_betas, number - 1), "betas"

    @property
    def seed_of_round(self) -> int:
        """Every part of a curve has chains of its own."""
        seed = self.tuning_seed if self.round == "preliminary" else self.formal_seed
        return (seed + 100_003 * self.first_image) % 2**31

    @property
    def run_name(self) -> str:
        kind = "preliminary" if self.round == "preliminary" else self.kind
        part = f"from{self.first_image}" if self.first_image else None
        seed = f"seed{self.tuning_seed if self.round == 'preliminary' else self.formal_seed}"
        preset = self.preset if self.preset != self.model.preset else None  # "own", of a model that a study has
        return self.name or "_".join(filter(None, [self.label, self.model.run_name, kind, part, seed, preset]))

    @property
    def tuning(self) -> "Settings":
        """The preliminary round that this one takes its step sizes from: the same for all seeds of formal rounds."""
        given = {"round": "preliminary", "reference": None, "resample_below": 0.0, "formal_seed": self.tuning_seed + 1}
        return self.model_copy(update={**given, "name": self.name and f"{self.name}_preliminary"})


def needs(settings: Settings) -> list[Core]:
    trained = [settings.model, *([settings.features] if settings.features else [])]
    return trained if settings.round == "preliminary" else [*trained, settings.tuning]


def perform(settings: Settings, place: Place) -> dict:
    """Does one round; see `echo_tf.kinds._annealing`."""
    from echo_tf.kinds import _annealing

    return _annealing.perform(settings, place)


def rows(record: dict) -> list[dict]:
    """A row a recorded beta: means over images, their standard errors, and what says how far to trust them."""
    found = table(record["curve"], COLUMNS)
    found[0][f"distortion_standard_error_{unit_of(found[0])}"]
    _check_beside(record)
    return found


def _check_beside(record):
    """Raises KeyError or TypeError for what stands beside the curve and is not as it was written."""
    encoder, shown = record.get("encoder"), record.get("reconstructions")
    for value in (record["images"], record.get("gradients", 0), *(encoder.values() if encoder else ())):
        number(value)
    if encoder:
        encoder["rate_nats"], encoder[f"distortion_{unit_of(encoder)}"]
    if shown:
        shown["images"]["shape"], shown["low_rate"]["shape"], shown["high_rate"]["shape"], number(shown["high_rate_beta"])


def unit_of(row: dict) -> str:
    """The unit of a row's distortion: "nats", "sse", the same of features, or "units" of one's own."""
    found = [unit for unit in UNITS if f"distortion_{unit}" in row]
    if len(found) != 1:
        raise ValueError(f"a row has one distortion, and this has {len(found)} of a known unit: {', '.join(row)}")
    return found[0]


def line(record: dict) -> str:
    every = rows(record)
    last = every[-1]
    unit = unit_of(last)
    text = (
        f"at beta {last['beta']:.3g}: rate {last['rate_nats']:.2f} nats, distortion {last[f'distortion_{unit}']:.2f} {unit}, "
        f"effective chains {last['effective_chains']:.1f}"
    )
    outside = record.get("acceptance_out_of_range", 0)
    text += "" if record.get("neg_log_z_is_bound", True) else "; −log Z is no bound"
    return text + (f"; acceptance out of range at {outside} of {len(every)} betas" if outside else "")


def seconds_left(settings: Settings, done: int, finished: Sequence[Result]) -> float | None:
    """From finished rounds of the same decoder and as many chains, by the number of gradients."""
    total, _ = settings.amount
    paces = [
        result.record["seconds"] / result.record["gradients"]
        for result in finished
        if result.record.get("gradients") and "seconds" in result.record and _alike(settings, result.settings)
    ]
    return float(np.mean(paces)) * _gradients(settings) * (1 - done / total) if paces else None


def _alike(settings, other):
    names = ("precision", "num_chains", "num_images")
    networks = [{k: v for k, v in s.model.recorded().items() if k in ("network", "width")} for s in (settings, other)]
    return all(getattr(settings, name) == getattr(other, name) for name in names) and networks[0] == networks[1]


def _gradients(settings):
    steps = settings.num_temperatures
    if settings.round == "preliminary":
        steps = settings.tuning_temperatures or steps
    return steps * (settings.leapfrog_steps + (settings.transition == "tfp_hmc"))
