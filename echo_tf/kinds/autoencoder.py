"""Trains and tests a rate-distortion autoencoder: any method of `echo_tf.METHODS` in any network, on any dataset.

The settings and what is read of a record; the work itself is in `echo_tf.kinds._training`.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np
import pydantic

from echo_tf.data.catalog import CATALOG
from echo_tf.errors import nearest
from echo_tf.kinds import echo_analysis
from echo_tf.methods import METHODS
from echo_tf.runs.kind_of import Guess
from echo_tf.runs.place import Place
from echo_tf.runs.records import Result, number_or_none
from echo_tf.runs.settings import MOST, MOST_LATENTS, NotNegative, Positive, Switch
from echo_tf.runs.settings import Settings as Core
from echo_tf.runs.trainings import Training

TABLES = ("summary",)
FIGURES = ("rate_distortion", "samples")
METRICS = ("rate_nats", "distortion_nats", "neg_elbo_nats")  # of a test with a likelihood


class _AboveZero:
    """All numbers above 0."""

    def __contains__(self, value):
        return isinstance(value, (int, float)) and value > 0


_WITH_FLOW = tuple(name for name, method in METHODS.items() if "flow_steps" in method.settings)
_WITH_VAMP = tuple(name for name, method in METHODS.items() if "vamp_start" in method.settings)
FIDELITY = {
    "schedule": Switch("paper", "released"),
    "output_kernel": Switch(4, 5, {"network": ("alemi2018",)}),  # one of its network_settings
    "train_images": Switch(None, 50_000, {"dataset": ("fashion_mnist",)}),
    "flow_steps": Switch(2, 4, {"method": _WITH_FLOW}),
    "flows_trained": Switch(True, False, {"method": _WITH_FLOW}),
    "vamp_density": Switch("mixture", "mean_of_logs", {"method": _WITH_VAMP}),
    "vamp_start": Switch("training_images", "mean_image", {"method": _WITH_VAMP}),
    "mmd_bandwidth": Switch(None, 0.01, {"method": ("iaf-mmd",)}),  # None: latents / sqrt 2
    "blocks": Switch(8, 4, {"ground_truth": ("dependent",)}),
    "permuted": Switch("distinct", "independent", {"gamma": _AboveZero()}),
    "discriminator_beta_2": Switch(0.9, 0.999, {"gamma": _AboveZero()}),
}
OF_DEPENDENCE = ("blocks", "remove_probability", "subset_seed")
OF_DISCRIMINATOR = ("permuted", "discriminator_units", "discriminator_beta_2")
OF_ECHO = ("eval_noise", "pool_size")  # settings of Echo's test noise, beside those of its channel
OF_METHODS = {*OF_ECHO, *(name for method in METHODS.values() for name in method.settings)} - {"seed"}
GONE = {
    "likelihood_samples": "the study echo/likelihood measures trained models",
    "analysis": "the study echo/table3 analyses trained models",
    "output_kernel": "it is network_settings.output_kernel",
    "fashion_mnist_train_images": "it is train_images",
}


class _Training(Training):
    """How it is trained.

    beta_warmup_epochs: beta rises linearly from 0 over so many epochs (0: it is constant).
    adam_epsilon: Keras's default is that of the released code for images of 28 x 28, unlike the 1e-8 of Adam's paper.
    """

    learning_rate: Positive = 3e-4
    schedule: Literal["paper", "released", "constant"] = "paper"
    beta: NotNegative = 1.0
    beta_warmup_epochs: int = pydantic.Field(default=0, ge=0, le=MOST)
    adam_epsilon: Positive = 1e-7

    @pydantic.model_validator(mode="after")
    def _warms_up_by_epochs(self):
        if self.steps and self.beta_warmup_epochs:
            raise ValueError("setting 'beta_warmup_epochs' needs 'epochs' in place of 'steps'")
        return self


class _Factors(Core):
    """Which of a dataset's images, by their factors of variation, and the penalty on dependent codes.

    factor_strides: factor -> stride of its values: a thinner dataset, for trials.
    ground_truth: "independent" factors, all combinations; or "dependent": without those that `dependent_subset` removes with
        blocks, remove_probability and subset_seed.
    gamma: weight of the `TotalCorrelation` penalty, 0: none. permuted, discriminator_units, discriminator_beta_2: of it.
    """

    factor_strides: dict[str, Annotated[int, pydantic.Field(ge=1, le=MOST)]] = {}
    ground_truth: Literal["independent", "dependent"] = "independent"
    blocks: int = pydantic.Field(default=8, ge=1, le=MOST)
    remove_probability: float = pydantic.Field(default=0.15, ge=0, le=1)
    subset_seed: int = pydantic.Field(default=42, ge=0, lt=2**32)
    gamma: NotNegative = 0.0
    permuted: Literal["distinct", "independent"] = "distinct"
    discriminator_units: tuple[Annotated[int, pydantic.Field(ge=1, le=MOST)], ...] = (1000,) * 6
    discriminator_beta_2: float = pydantic.Field(default=0.9, ge=0, lt=1)


class _Model(Core):
    """The network, and what its output is measured by.

    network: an architecture of `models/`. network_settings: what its builders take besides. width: factor on its size.
    variance: of the distortion "gaussian"; None: one for all pixels is learned.
    objective: "decomposed" trains on the distortion of the code's mean and that of the noise apart
        (`echo_tf.DecomposedAutoencoder`); of a distortion that is no likelihood.
    decoder_input: what the decoder does to the code first: nothing ("code"), "times_16", or "batch_normalized" without an
        affine part; the last two are rivals of `standardize`, for the ablation of it.
    """

    network: str = "alemi2018"
    network_settings: dict[str, int | float | str | bool] = {}
    width: float = pydantic.Field(default=1.0, ge=1e-3, le=100)
    latent_dim: int = pydantic.Field(default=32, ge=1, le=MOST_LATENTS)
    distortion: Literal["bernoulli", "gaussian", "squared_error", "ssim"] = "bernoulli"
    objective: Literal["plain", "decomposed"] = "plain"
    variance: Positive | None = None
    decoder_input: Literal["code", "times_16", "batch_normalized"] = "code"


class _Parts(Core):
    """The parts of the method; a setting of a part that the method does not have has no effect and is not recorded.

    num_terms: Echo's; None: batch_size - 1. scheme, max_magnitude, standardize: Echo's; the paper's code is not standardized.
    pseudo_inputs: of a VampPrior. flow_units: hidden layers of a flow's step; flow_mean_only: it shifts and does not scale.
    """

    num_terms: int | None = pydantic.Field(default=None, ge=1, le=10_000)
    scheme: Literal["permutation", "replacement", "ring"] | None = None
    max_magnitude: Positive | None = None
    standardize: bool = False
    flow_steps: int = pydantic.Field(default=2, ge=1, le=100)
    flows_trained: bool = True
    flow_units: tuple[Annotated[int, pydantic.Field(ge=1, le=MOST)], ...] = (640, 640, 640)
    flow_mean_only: bool = True
    pseudo_inputs: int = pydantic.Field(default=750, ge=1, le=MOST)
    vamp_density: Literal["mixture", "mean_of_logs"] = "mixture"
    vamp_start: Literal["training_images", "mean_image"] = "training_images"
    mmd_bandwidth: Positive | None = None


class Settings(_Training, _Factors, _Model, _Parts):
    """The settings of one training; see `configs/` for where each value comes from.

    method: a name of `echo_tf.METHODS`.
    fidelity: "paper" or "released"; decides each switch of `FIDELITY` that is not given by itself.
    eval_samples: codes drawn for each test image. eval_noise: where Echo's donors come from at test,
        the rest of the test "batch" (as in the paper) or a "pool" of pool_size training encodings.
    """

    folders: ClassVar = ("dataset", "method")

    method: str
    fidelity: Literal["paper", "released"] = "paper"
    eval_samples: int = pydantic.Field(default=1, ge=1, le=MOST)
    eval_noise: Literal["batch", "pool"] = "batch"
    pool_size: int = pydantic.Field(default=1000, ge=1, le=MOST)

    @pydantic.field_validator("method")
    @classmethod
    def _a_known_method(cls, method):
        if method not in METHODS:
            raise ValueError(f"it must be one of {', '.join(METHODS)}{nearest(method, METHODS)}")
        return method

    @pydantic.model_validator(mode="before")
    @classmethod
    def _decide_switches(cls, values):
        for gone, instead in GONE.items():
            if gone in values:
                raise ValueError(f"setting {gone!r} is no longer one: {instead}")
        chosen = {key: s.chosen(values.get("fidelity")) for key, s in FIDELITY.items() if s.bears_on(_with_defaults(values))}
        if "output_kernel" in chosen:
            given = values.get("network_settings", {})
            if isinstance(given, dict):
                values = {**values, "network_settings": {"output_kernel": chosen["output_kernel"], **given}}
        return {**{key: value for key, value in chosen.items() if key != "output_kernel"}, **values}

    @classmethod
    def foreign(cls, values: dict) -> dict[str, str]:
        method = values.get("method")
        known = METHODS.get(method) if isinstance(method, str) else None
        own = {*known.settings, *(OF_ECHO if method == "echo" else ())} if known else OF_METHODS
        found = {**super().foreign(values), **dict.fromkeys(OF_METHODS - own, f"method {method!r}")}
        if values.get("distortion") != "gaussian":
            found["variance"] = "a distortion other than gaussian"
        if values.get("distortion", "bernoulli") in ("bernoulli", "gaussian"):
            found["objective"] = "a distortion that is a likelihood"
        if values.get("ground_truth", "independent") == "independent":
            found |= dict.fromkeys(OF_DEPENDENCE, "independent ground truth")
        if not values.get("gamma"):
            found |= dict.fromkeys(OF_DISCRIMINATOR, "gamma 0")
        return found

    @classmethod
    def upgraded(cls, values: dict) -> dict:
        """Records of before kinds: measurements were settings, and settings of one network or dataset were everybody's."""
        values = {key: value for key, value in values.items() if key not in ("likelihood_samples", "analysis")}
        kernel, images = values.pop("output_kernel", None), values.pop("fashion_mnist_train_images", None)
        if kernel is not None and values.get("network", "alemi2018") == "alemi2018":
            values["network_settings"] = {"output_kernel": kernel}
        if images not in (None, 60_000) and values.get("dataset") == "fashion_mnist":
            values["train_images"] = images
        return values

    @property
    def title(self) -> str:
        """The method's name in tables; of Echo it says where the decoder is given a code of unit scale, which no paper has."""
        return METHODS[self.method].title + (", standardized" if self.standardize else "")

    @property
    def run_name(self) -> str:
        if self.name:
            return self.name
        truth = "dependent" if self.ground_truth == "dependent" else None
        gamma = f"gamma{self.gamma:g}" if self.gamma else None
        parts = [self.variant, truth, f"beta{self.beta:g}", gamma, f"seed{self.seed}", self.preset]
        return "_".join(filter(None, parts))

    @property
    def switches(self) -> dict:
        """The switches of `FIDELITY` that bear on this run."""
        values = {**self.model_dump(), **self.network_settings}
        return {key: values[key] for key, switch in FIDELITY.items() if key in values and switch.bears_on(values)}

    @property
    def method_settings(self) -> dict:
        """What `make_method` hands to the method's parts."""
        given = {name: getattr(self, name) for name in METHODS[self.method].settings if hasattr(self, name)}
        if "num_terms" in given:
            given["num_terms"] = self.num_terms or self.batch_size - 1
        return {name: value for name, value in given.items() if value is not None}


def _with_defaults(values):
    return {"network": Settings.model_fields["network"].default, **values}


def perform(settings: Settings, place: Place) -> dict:
    """Trains and tests the model; see `echo_tf.kinds._training`."""
    from echo_tf.kinds import _training

    return _training.perform(settings, place)


def rows(record: dict) -> list[dict]:
    """One row: the means over the test images, and their standard errors.

    Distortion and -ELBO are named with their unit: `distortion_nats` for a likelihood, else `distortion_<unit>` and no -ELBO.
    """
    if record["status"] != "finished":
        return []
    test = record["test"]
    _check_beside(record, test["metrics"])
    likelihood = test.get("log_likelihood", {}).get("neg_log_likelihood_nats", {})  # in old records
    return [
        {
            **{name: float(value["mean"]) for name, value in test["metrics"].items()},
            **{_error(name): number_or_none(value["standard_error"]) for name, value in test["metrics"].items()},
            "neg_log_likelihood_nats": number_or_none(likelihood.get("mean")),
            "rate_floor_nats": number_or_none(test["rate_floor_nats"]),
            "parameters": int(record["parameters"]),
            "data_variant": str(record["data"]["variant"]),
        }
    ]


def _check_beside(record, metrics):
    """Raises KeyError, TypeError or ValueError for what figures read beside the metrics and is not as it was written."""
    distortions = [name for name in metrics if name.startswith("distortion_")]
    if (
        "rate_nats" not in metrics
        or len(distortions) != 1
        or ("neg_elbo_nats" in metrics) != (distortions == ["distortion_nats"])
    ):
        raise ValueError(
            f"its metrics are {', '.join(metrics)}: a rate and a distortion, and -ELBO of a likelihood, are wanted"
        )
    if shown := record.get("examples"):
        shown["images"]["shape"], shown["reconstructions"]["shape"], shown.get("samples", {"shape": ()})["shape"]
    if "analysis" in record:  # of before analyses were runs
        echo_analysis.rows(record)


def _error(name):
    stem, _, unit = name.rpartition("_")
    return f"{stem}_standard_error_over_images_{unit}"


def line(record: dict) -> str:
    """The test metrics of a run in words."""
    shared = f" (trained as {record['same_training_as']})" if "same_training_as" in record else ""
    terms = []
    for name, value in record["test"]["metrics"].items():
        stem, _, unit = name.rpartition("_")
        terms.append(f"{stem.replace('neg_elbo', '-ELBO')} {value['mean']:.2f} {unit}")
    return f"{', '.join(terms)} per test image{shared}"


def seconds_left(settings: Settings, done: int, finished: Sequence[Result]) -> float | None:
    """From the finished trainings of the method in the same network and batches, by the number of training images; a `Guess`
    from other methods where there is none of this one."""
    images = _training_images(settings, finished)
    total, unit = settings.amount
    share = (total - done) * (settings.batch_size if unit == "steps" else images or 0)
    if not share:
        return 0.0 if done == total else None
    paces = {}  # (network and batches) -> method -> seconds an image
    for result in finished:
        if pace := _pace(result):
            paces.setdefault(_alike(result.settings), {}).setdefault(result.settings.method, []).append(pace)
    here = {name: np.mean(found) for name, found in paces.pop(_alike(settings), {}).items()}
    if settings.method in here:
        return share * here[settings.method]
    pace = _pace_by_others(settings.method, here, paces.values())
    return None if pace is None else Guess(share * pace)


def _pace_by_others(method, here, elsewhere):
    """The pace of the methods of most like parts, times what this one took of theirs in other networks; or that of all."""
    scaled = {}
    for name, pace in here.items():
        both = [(group[method], group[name]) for group in elsewhere if {method, name} <= group.keys()]
        if both:
            ratio = sum(np.mean(own) / np.mean(others) for own, others in both) / len(both)
            apart = len({*METHODS[method].settings} ^ {*METHODS[name].settings})
            scaled.setdefault(apart, []).append(pace * ratio)
    found = scaled[min(scaled)] if scaled else list(here.values())
    return sum(found) / len(found) if found else None


def _pace(result):
    """Seconds an image, None where the record does not tell."""
    total, unit = result.settings.amount
    try:
        per = result.settings.batch_size if unit == "steps" else result.record["data"]["train_images_used"]
        return float(result.record["train_seconds"]) / (total * per)
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None


def _alike(settings):
    return tuple(getattr(settings, name) for name in ("network", "width", "latent_dim", "batch_size", "dtype_policy"))


def _training_images(settings, finished):
    """How many images the run will train on, as far as is known without loading them."""
    if settings.dataset in CATALOG:
        size = CATALOG[settings.dataset].sizes["train"]
        return min(size, settings.train_images or size)
    of_this = (r.record.get("data") for r in finished if r.settings.dataset == settings.dataset)
    found = (data.get("train_images_used") for data in of_this if isinstance(data, dict))
    return next((number for number in found if isinstance(number, int)), None)
