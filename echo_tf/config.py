"""Configuration: a study's YAML file, `key=value` overrides, and the fully resolved settings of one run."""

from pathlib import Path
from typing import Literal

import pydantic
import yaml

from echo_tf.channels import NOISE_SOURCES
from echo_tf.distortions import DISTORTIONS
from echo_tf.errors import InputError, nearest
from echo_tf.grids import Study, combinations
from echo_tf.methods import METHODS
from echo_tf.noise import SCHEMES
from echo_tf.schedules import SCHEDULES

# Where the paper and the released code differ, and what each word of `fidelity` chooses.
FIDELITY = {
    "schedule": {"paper": "paper", "released": "released"},
    "output_kernel": {"paper": 4, "released": 5},
    "fashion_mnist_train_images": {"paper": 60_000, "released": 50_000},
}


class RunConfig(pydantic.BaseModel):
    """The settings of one run; see `configs/` for where each value comes from.

    study, preset, name: where the record goes; name None: made of variant, beta, seed and preset.
    variant: which of the study's variants this is, None where it has none.
    width: factor on the network's number of filters.
    fidelity: "paper" or "released"; decides each switch of `FIDELITY` that is not given by itself.
    num_terms: Echo's; None: batch_size - 1. scheme, max_magnitude: Echo's.
    eval_samples: codes drawn for each test image. eval_noise: where Echo's donors come from at test,
        the rest of the test "batch" (as in the paper) or a "pool" of pool_size training encodings.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    study: str = pydantic.Field(pattern=r"^[a-z0-9_]+(/[a-z0-9_]+)*$")
    preset: str = pydantic.Field(default="none", pattern=r"^[a-z0-9_]+$")
    name: str | None = pydantic.Field(default=None, pattern=r"^[A-Za-z0-9_.=-]+$")
    variant: str | None = pydantic.Field(default=None, pattern=r"^[A-Za-z0-9_.=-]+$")
    dataset: str = pydantic.Field(pattern=r"^[a-z][a-z0-9_]*$")
    method: Literal[tuple(METHODS)]
    network: str = "alemi2018"
    width: pydantic.PositiveFloat = 1.0
    latent_dim: pydantic.PositiveInt = 32
    distortion: Literal[tuple(DISTORTIONS)] = "bernoulli"
    beta: pydantic.NonNegativeFloat = pydantic.Field(default=1.0, allow_inf_nan=False)
    epochs: pydantic.PositiveInt
    batch_size: int = pydantic.Field(default=100, ge=2)
    learning_rate: pydantic.PositiveFloat = pydantic.Field(default=3e-4, allow_inf_nan=False)
    seed: pydantic.NonNegativeInt = 0
    fidelity: Literal["paper", "released"] = "paper"
    schedule: Literal[tuple(SCHEDULES)]
    output_kernel: pydantic.PositiveInt
    fashion_mnist_train_images: pydantic.PositiveInt
    num_terms: pydantic.PositiveInt | None = None
    scheme: Literal[SCHEMES] | None = None
    max_magnitude: pydantic.PositiveFloat | None = None
    eval_samples: pydantic.PositiveInt = 1
    eval_noise: Literal[NOISE_SOURCES] = "batch"
    pool_size: pydantic.PositiveInt = 1000
    dtype_policy: Literal["float32", "mixed_bfloat16"] = "float32"
    deterministic: bool = False

    @pydantic.model_validator(mode="before")
    @classmethod
    def _decide_switches(cls, values):
        word = values.get("fidelity", "paper")
        return {**{key: choice.get(word, choice["paper"]) for key, choice in FIDELITY.items()}, **values}

    @property
    def run_name(self):
        variant = f"{self.variant}_" if self.variant else ""
        return self.name or f"{variant}beta{self.beta:g}_seed{self.seed}_{self.preset}"

    @property
    def run_path(self):
        """Where the run's files stand below results/runs and below the work directory, without an ending."""
        return Path(self.study, self.dataset, self.method, self.run_name)

    @property
    def switches(self):
        return {key: getattr(self, key) for key in FIDELITY}

    @property
    def channel_settings(self):
        """What `make_method` hands to the channel."""
        given = {"num_terms": self.num_terms, "scheme": self.scheme, "max_magnitude": self.max_magnitude}
        if "num_terms" in METHODS[self.method].channel_settings:
            given["num_terms"] = self.num_terms or self.batch_size - 1
        return {"seed": self.seed, **{key: value for key, value in given.items() if value is not None}}


def read_study(config, folder="configs"):
    """Reads a study by path, or by name below `folder` ("echo/table1").

    Raises:
        InputError: if there is none, or it is not what a study is.
    """
    path = Path(config)
    if not path.is_file():
        path = Path(folder, f"{config}.yaml")
    if not path.is_file():
        names = [str(p.relative_to(folder).with_suffix("")) for p in sorted(Path(folder).rglob("*.yaml"))]
        raise InputError(
            f"no configuration {str(config)!r}; there are {', '.join(names) or 'none'}{nearest(str(config), names)}."
        )
    try:
        content = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    return _validated(Study, content, str(path))


def resolve(study, preset=None, overrides=()):
    """The settings of one run of a study: the first of its runs in a preset, then overrides.

    Args:
        study: a `Study`.
        preset: a key of its presets; None is "paper" where there is one.
        overrides: strings "key=value", the value in YAML. "variant" chooses one of the study's variants.

    Raises:
        InputError: naming the key, the value, what is allowed and the nearest match.
    """
    given = {}
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            raise InputError(f"settings are given as key=value, got {override!r}.")
        try:
            given[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise InputError(f"{key}: {value!r} is not a YAML value.") from error
    variant = given.get("variant") if study.variants else None
    return validated({**next(combinations(study, preset, variant)), **given})


def validated(values):
    """The `RunConfig` of a dict of settings.

    Raises:
        InputError: as `resolve`, also for a setting that the method does not take.
    """
    config = _validated(RunConfig, values, "setting")
    strangers = sorted(set(config.channel_settings) - set(METHODS[config.method].channel_settings))
    if strangers:
        raise InputError(f"setting {strangers[0]} is not one of method {config.method!r}: leave it out.")
    return config


def difference(old, new):
    """The settings in which two resolved configurations (dicts) differ, as lines "key: old -> new"."""
    return [f"{key}: {old.get(key)!r} -> {new.get(key)!r}" for key in {**old, **new} if old.get(key) != new.get(key)]


def _validated(model, content, where):
    if not isinstance(content, dict):
        raise InputError(f"{where} must be a mapping of keys to values, got {type(content).__name__}.")
    try:
        return model(**content)
    except pydantic.ValidationError as error:
        raise InputError("; ".join(_sentence(model, found, where) for found in error.errors())) from error


def _sentence(model, found, where):
    key = ".".join(str(part) for part in found["loc"])
    if found["type"] == "extra_forbidden":
        return f"{where} {key!r} is not known{nearest(key, model.model_fields)}; allowed are {', '.join(model.model_fields)}"
    if found["type"] == "missing":
        return f"{where} {key!r} is missing"
    close = ""
    if not key:
        return f"{where}: {found['msg'].removeprefix('Value error, ')}"
    if found["type"] == "literal_error":
        allowed = found["ctx"]["expected"].replace(" or ", ", ").replace("'", "").split(", ")
        close = nearest(str(found["input"]), allowed)
    return f"{where} {key!r} is {found['input']!r}: {found['msg'][0].lower()}{found['msg'][1:]}{close}"
