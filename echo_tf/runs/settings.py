"""Configuration: a study's YAML file, `key=value` overrides, and the fully resolved settings of one run."""

from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import pydantic
import yaml

from echo_tf.distortions import DISTORTIONS
from echo_tf.echo_sample import NOISE_SOURCES
from echo_tf.errors import InputError, nearest
from echo_tf.grids import Study, combinations
from echo_tf.marginals import DENSITIES, STARTS
from echo_tf.methods import METHODS
from echo_tf.noise import SCHEMES
from echo_tf.schedules import SCHEDULES


class Switch(NamedTuple):
    """A place where the paper and the released code differ.

    paper, released: what each word of `fidelity` chooses.
    methods: those whose runs it changes; None: all.
    """

    paper: Any
    released: Any
    methods: tuple | None = None

    def chosen(self, word, method):
        return self.released if word == "released" and self.bears_on(method) else self.paper

    def bears_on(self, method):
        return self.methods is None or method in self.methods


MOST = 1_000_000  # beyond it, a number is a slip that would only show when memory or time runs out
DECODER_INPUTS = ("code", "times_16", "batch_normalized")
OF_ECHO = ("eval_noise", "pool_size")  # settings of Echo's test noise, beside those of its channel
WITH_FLOW = tuple(name for name, method in METHODS.items() if "flow_steps" in method.settings)
WITH_VAMP = tuple(name for name, method in METHODS.items() if "vamp_start" in method.settings)
FIDELITY = {
    "schedule": Switch("paper", "released"),
    "output_kernel": Switch(4, 5),
    "fashion_mnist_train_images": Switch(60_000, 50_000),
    "flow_steps": Switch(2, 4, WITH_FLOW),
    "flows_trained": Switch(True, False, WITH_FLOW),
    "vamp_density": Switch("mixture", "mean_of_logs", WITH_VAMP),
    "vamp_start": Switch("training_images", "mean_image", WITH_VAMP),
    "mmd_bandwidth": Switch(None, 0.01, ("iaf-mmd",)),  # None: latents / sqrt 2
}


def foreign_settings(method):
    """The settings that bear on other methods and not on this one."""
    of_some = {*OF_ECHO, *(name for other in METHODS.values() for name in other.settings)}
    return of_some - {*METHODS[method].settings, *(OF_ECHO if method == "echo" else ())}


class RunConfig(pydantic.BaseModel):
    """The settings of one run; see `configs/` for where each value comes from.

    study, preset, name: where the record goes; name None: made of variant, beta, seed and preset.
    variant: which of the study's variants this is, None where it has none.
    width: factor on the network's number of filters.
    fidelity: "paper" or "released"; decides each switch of `FIDELITY` that is not given by itself.
    num_terms: Echo's; None: batch_size - 1. scheme, max_magnitude, standardize: Echo's; the paper's code is not standardized.
    decoder_input: what the decoder does to the code first: nothing ("code"), "times_16", or "batch_normalized" without an
        affine part; the last two are rivals of `standardize`, for the ablation of it.
    beta_warmup_epochs: beta rises linearly from 0 over so many epochs (0: it is constant).
    pseudo_inputs: of a VampPrior. flow_units: hidden layers of a flow's step; flow_mean_only: it shifts and does not scale.
    likelihood_samples: codes for each test image in the importance-sampled log-likelihood; 0: none is made.
    eval_samples: codes drawn for each test image. eval_noise: where Echo's donors come from at test,
        the rest of the test "batch" (as in the paper) or a "pool" of pool_size training encodings.
    analysis: whether to store, after training, what Table 3 and Figures 6 and 7 need (Echo only; see `echo_tf.analysis`).
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    study: str = pydantic.Field(pattern=r"^[a-z0-9_]+(/[a-z0-9_]+)*$")
    preset: str = pydantic.Field(default="none", pattern=r"^[a-z0-9_]+$")
    name: str | None = pydantic.Field(default=None, pattern=r"^[A-Za-z0-9_=-][A-Za-z0-9_.=-]*$")
    variant: str | None = pydantic.Field(default=None, pattern=r"^[A-Za-z0-9_=-][A-Za-z0-9_.=-]*$")
    dataset: str = pydantic.Field(pattern=r"^[a-z][a-z0-9_]*$")
    method: Literal[tuple(METHODS)]
    network: str = "alemi2018"
    width: float = pydantic.Field(default=1.0, gt=0, le=100)
    latent_dim: int = pydantic.Field(default=32, ge=1, le=MOST)
    distortion: Literal[tuple(name for name, kind in DISTORTIONS.items() if kind.is_likelihood)] = "bernoulli"
    beta: pydantic.NonNegativeFloat = pydantic.Field(default=1.0, allow_inf_nan=False)
    epochs: int = pydantic.Field(ge=1, le=MOST)
    batch_size: int = pydantic.Field(default=100, ge=2, le=MOST)
    learning_rate: pydantic.PositiveFloat = pydantic.Field(default=3e-4, allow_inf_nan=False)
    seed: int = pydantic.Field(default=0, ge=0, lt=2**32)
    fidelity: Literal["paper", "released"] = "paper"
    schedule: Literal[tuple(SCHEDULES)]
    output_kernel: int = pydantic.Field(ge=1, le=100)
    fashion_mnist_train_images: pydantic.PositiveInt
    flow_steps: int = pydantic.Field(ge=1, le=100)
    flows_trained: bool
    vamp_density: Literal[DENSITIES]
    vamp_start: Literal[STARTS]
    mmd_bandwidth: float | None = pydantic.Field(ge=1e-15, le=1e15)  # its square must be a float32
    flow_units: tuple[Annotated[int, pydantic.Field(ge=1, le=MOST)], ...] = (640, 640, 640)
    flow_mean_only: bool = True
    pseudo_inputs: int = pydantic.Field(default=750, ge=1, le=MOST)
    num_terms: int | None = pydantic.Field(default=None, ge=1, le=10_000)
    scheme: Literal[SCHEMES] | None = None
    max_magnitude: float | None = pydantic.Field(default=None, gt=0, le=1e15)
    standardize: bool = False
    decoder_input: Literal[DECODER_INPUTS] = "code"
    beta_warmup_epochs: int = pydantic.Field(default=0, ge=0, le=MOST)
    eval_samples: int = pydantic.Field(default=1, ge=1, le=MOST)
    likelihood_samples: int = pydantic.Field(default=0, ge=0, le=MOST)
    eval_noise: Literal[NOISE_SOURCES] = "batch"
    pool_size: pydantic.PositiveInt = 1000
    dtype_policy: Literal["float32", "mixed_bfloat16"] = "float32"
    deterministic: bool = False
    analysis: bool = False

    @pydantic.model_validator(mode="before")
    @classmethod
    def _decide_switches(cls, values):
        word, method = values.get("fidelity"), values.get("method")
        if method in METHODS:  # what a study says for its other methods is not recorded
            values = {key: value for key, value in values.items() if key not in foreign_settings(method)}
        return {**{key: switch.chosen(word, method) for key, switch in FIDELITY.items()}, **values}

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
        """The switches of `FIDELITY` that bear on this method."""
        return {key: getattr(self, key) for key, switch in FIDELITY.items() if switch.bears_on(self.method)}

    @property
    def method_settings(self):
        """What `make_method` hands to the method's parts."""
        given = {name: getattr(self, name) for name in METHODS[self.method].settings if hasattr(self, name)}
        if "num_terms" in given:
            given["num_terms"] = self.num_terms or self.batch_size - 1
        return {name: value for name, value in given.items() if value is not None}


class _Loader(yaml.SafeLoader):
    """YAML without what is most likely a mistake: a key given twice, or one that is no string."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        for place, key in enumerate(keys):
            if not isinstance(key, str) or key in keys[:place]:
                what = "given twice" if isinstance(key, str) else "no string"
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is {what}", node.start_mark)
        return super().construct_mapping(node, deep)


def read_yaml(text):
    """The content of YAML text, of plain types alone. Raises ValueError, in whatever way it is not YAML."""
    try:
        return _Loader(text).get_single_data()
    except (yaml.YAMLError, RecursionError, TypeError) as error:
        raise ValueError(str(error) or "it is nested too deeply") from error


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
        content = read_yaml(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
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
            given[key] = read_yaml(value)
        except ValueError as error:
            raise InputError(f"{key}: {value!r} is not a YAML value.") from error
    variant = given.get("variant") if study.variants else None
    return validated({**next(combinations(study, preset, variant)), **given}, given)


def validated(values, deliberate=()):
    """The `RunConfig` of a dict of settings.

    Args:
        values: the settings. Those of a study's base may be other methods' and have no effect.
        deliberate: the settings that the method must take, as somebody set them for this run.

    Raises:
        InputError: as `resolve`, also for a setting that the method does not take.
    """
    config = _validated(RunConfig, values, "setting")
    strangers = sorted(set(deliberate) & foreign_settings(config.method))
    if strangers:
        raise InputError(f"setting {strangers[0]} is not one of method {config.method!r}: leave it out.")
    if config.analysis and (config.method, config.eval_noise) != ("echo", "batch"):
        raise InputError(
            "setting 'analysis' is of Echo noise made of test images: it needs method=echo and eval_noise=batch, "
            f"got {config.method!r} and {config.eval_noise!r}."
        )
    return config


def completed(settings):
    """Recorded settings (a dict) with those that did not exist yet at their defaults; as they are if no longer valid."""
    try:
        return RunConfig(**settings).model_dump()
    except pydantic.ValidationError:
        return settings


def difference(old, new):
    """The settings in which a recorded configuration and a resolved one (dicts) differ, as lines "key: old -> new"."""
    old = completed(old)
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
