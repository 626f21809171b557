"""The settings of one run: the core that all kinds share, and how settings are checked, recorded and compared."""

import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, get_args, get_origin

import pydantic

from echo_tf.errors import InputError, nearest
from echo_tf.runs.kind_of import DEFAULT, kind_of

MOST_LATENTS = 65_536
MOST = 1_000_000  # beyond it, a number is a slip that would only show when memory or time runs out
Positive = Annotated[float, pydantic.Field(ge=1e-15, le=1e15, allow_inf_nan=False)]  # its square, too, must be a float32
NotNegative = Annotated[float, pydantic.Field(ge=0, le=1e15, allow_inf_nan=False)]
NAME = r"^[A-Za-z0-9_=-][A-Za-z0-9_.=-]*$"
PLACE = ("study", "preset", "name", "variant")  # where a record stands: the work does not depend on it


class Switch(NamedTuple):
    """A place where a paper and its released code differ.

    paper, released: what each word of `fidelity` chooses.
    where: setting -> the values under which the switch bears on a run; empty: always.
    """

    paper: Any
    released: Any
    where: Mapping[str, Collection] = {}

    def chosen(self, word: str | None):
        return self.released if word == "released" else self.paper

    def bears_on(self, values: Mapping) -> bool:
        return all(values.get(key) in allowed for key, allowed in self.where.items())


class Settings(pydantic.BaseModel):
    """The core that all runs share. A kind's `Settings` is a subclass with settings of its own.

    study, preset, name: where the record goes; name None: made of variant, the settings in `named_by`, seed and preset.
    variant: which of the study's variants this is, None where it has none.
    deterministic: whether repeated or resumed on a CPU the same bits come out.

    A subclass may give:
        folders: settings whose values are the folders of a study's records.
        named_by: settings whose values stand in a run's name.
        upgraded(values): recorded settings of older versions, in today's terms.
        foreign(values): {setting: what it is not a setting of} of settings that have no effect beside the others; they may
            stand in a study's base, and are not recorded.
        switches: what the word `fidelity` came to.
        amount: (how much, of what) makes a run whole, such as (200, "epochs"), or None.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
    folders: ClassVar[tuple[str, ...]] = ()
    named_by: ClassVar[tuple[str, ...]] = ()

    kind: str = DEFAULT
    study: str = pydantic.Field(pattern=r"^[a-z0-9_]+(/[a-z0-9_]+)*$")
    preset: str = pydantic.Field(default="none", pattern=r"^[a-z0-9_]+$")
    name: str | None = pydantic.Field(default=None, pattern=NAME, max_length=150)
    variant: str | None = pydantic.Field(default=None, pattern=NAME, max_length=50)
    seed: int = pydantic.Field(default=0, ge=0, lt=2**32)
    dtype_policy: Literal["float32", "mixed_bfloat16"] = "float32"
    deterministic: bool = False

    @pydantic.field_validator("*", mode="before")
    @classmethod
    def _of_its_type(cls, value, info):
        """Refuses what pydantic would turn into another type: switches and text for numbers, anything for switches."""
        given, listed = (value, True) if isinstance(value, (list, tuple)) else ([value], False)
        annotation = cls.model_fields[info.field_name].annotation
        if isinstance(value, Mapping) and get_origin(annotation) is dict:
            given, listed, annotation = value.values(), True, get_args(annotation)[1]
        allowed = {*_types_in(annotation)}
        if allowed & {int, float} and not allowed & {str, bool} and any(isinstance(one, (bool, str)) for one in given):
            raise ValueError("it must be of numbers" if listed else "it must be a number")
        if bool in allowed and not allowed & {int, float, str} and not all(isinstance(one, bool) for one in given):
            raise ValueError("it must be true or false")
        return value

    @classmethod
    def upgraded(cls, values: dict) -> dict:
        return values

    @classmethod
    def foreign(cls, values: Mapping) -> dict[str, str]:
        return {}

    @property
    def switches(self) -> dict:
        return {}

    @property
    def amount(self) -> tuple[int, str] | None:
        return None

    @property
    def stride(self) -> int:
        """How much of `amount` lies between two checkpoints of a training."""
        return 1

    @property
    def subject(self) -> "Settings":
        """The run that numbers are of: this one, or the one that it measures."""
        return self

    @property
    def run_name(self) -> str:
        if self.name:
            return self.name
        parts = [f"{key}{_short(getattr(self, key))}" for key in self.named_by]
        return "_".join([*filter(None, [self.variant]), *parts, f"seed{self.seed}", self.preset])

    @property
    def run_path(self) -> Path:
        """Where the run's files stand below results/runs and below the work directory, without an ending."""
        return Path(self.study, *(_short(getattr(self, key)) for key in self.folders), self.run_name)

    def __hash__(self):
        return hash((self.run_path, self.work()))

    def recorded(self) -> dict:
        """The settings that have an effect, of plain types."""
        values = self.model_dump(mode="json")
        foreign = self.foreign(values)
        return {key: value for key, value in values.items() if key not in foreign}

    def work(self) -> str:
        """What decides the run's work, as text: all recorded settings but those of its place."""
        return json.dumps({k: v for k, v in self.recorded().items() if k not in PLACE}, sort_keys=True)

    def law(self) -> str:
        """What decides the law of the run's numbers, as text: its work whatever the seed, variant and preset."""
        left_out = ("name", "seed", "deterministic", "model")
        return json.dumps({k: v for k, v in self.recorded().items() if k not in left_out}, sort_keys=True)


class Measurement(Settings):
    """The core of kinds that measure a model which another run has trained.

    model: the settings of that run. The record stands where the model's own would, in this study.

    A subclass may give:
        asks_of_model: settings that the model's run must have.
    """

    asks_of_model: ClassVar[tuple[str, ...]] = ()

    model: pydantic.SerializeAsAny[Settings]

    @pydantic.field_validator("model", mode="before")
    @classmethod
    def _of_its_kind(cls, values):
        return values if isinstance(values, Settings) else from_recorded(values)

    @pydantic.field_validator("model")
    @classmethod
    def _with_what_is_asked(cls, model):
        lacking = [name for name in cls.asks_of_model if not hasattr(model, name)]
        if lacking:
            kind = cls.model_fields["kind"].default
            raise ValueError(
                f"the kind {kind} measures trainings with the settings {', '.join(cls.asks_of_model)}, "
                f"and {model.study} of kind {model.kind} lacks {', '.join(lacking)}"
            )
        return model

    def recorded(self) -> dict:
        return {**super().recorded(), "model": self.model.recorded()}

    def law(self) -> str:
        return json.dumps([super().law(), self.model.law()])

    @property
    def subject(self) -> Settings:
        return self.model.subject

    @property
    def run_name(self) -> str:
        seed = f"seed{self.seed}" if self.seed else None
        preset = self.preset if self.preset != self.model.preset else None  # "own", of a model that a study has
        return self.name or "_".join(filter(None, [self.variant, self.model.run_name, self.kind, seed, preset]))

    @property
    def run_path(self) -> Path:
        return Path(self.study, *self.model.run_path.relative_to(self.model.study).parent.parts, self.run_name)


def validated(values: Mapping, deliberate: Iterable[str] = ()) -> Settings:
    """The `Settings` of a dict of settings, of the kind that it names.

    Args:
        values: the settings. Those of a study's base may be foreign to this run, and then have no effect.
        deliberate: the settings that must have an effect, as somebody set them for this run.

    Raises:
        InputError: naming the setting, its value, what is allowed and the nearest match.
    """
    model = kind_of(values.get("kind", DEFAULT)).Settings
    foreign = model.foreign(values)
    for key in deliberate:
        if key in foreign:
            raise InputError(f"setting {key} is not one of {foreign[key]}: leave it out.")
    return checked(model, {key: value for key, value in values.items() if key not in foreign}, "setting")


def from_recorded(values: Mapping) -> Settings:
    """The `Settings` that a record or a file holds, of this version or an older one.

    Raises:
        InputError: if they are none of this version's.
    """
    if not isinstance(values, Mapping):
        raise InputError(f"settings must be a mapping, got {type(values).__name__}.")
    return validated(kind_of(values.get("kind", DEFAULT)).Settings.upgraded(dict(values)))


def difference(old: Settings, new: Settings) -> list[str]:
    """The settings in which two runs differ, as lines "key: old -> new", those of a model as "model.key". How exactly a run
    repeats (`deterministic`) makes it no other."""
    return _changes(old.recorded(), new.recorded())


def _changes(old, new, within=""):
    lines = []
    for key in {**old, **new}:
        before, after = old.get(key), new.get(key)
        if key == "model" and isinstance(before, Mapping) and isinstance(after, Mapping):
            lines += _changes(before, after, f"{within}model.")
        elif before != after and key != "deterministic":
            lines.append(f"{within}{key}: {before!r} -> {after!r}")
    return lines


def checked(model: type[pydantic.BaseModel], content: Any, where: str):
    """An instance of a pydantic model. Raises InputError, one sentence for each thing that is wrong."""
    if not isinstance(content, Mapping):
        raise InputError(f"{where} must be a mapping of keys to values, got {type(content).__name__}.")
    try:
        return model(**content)
    except pydantic.ValidationError as error:
        raise InputError("; ".join(_sentence(model, found, where) for found in error.errors())) from error


def _types_in(annotation):
    """The types that an annotation is made of."""
    inner = [one for part in get_args(annotation) for one in _types_in(part)]
    return inner or [annotation]


def _short(value) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _sentence(model, found, where):
    key = ".".join(str(part) for part in found["loc"])
    if found["type"] == "extra_forbidden":
        return f"{where} {key!r} is not known{nearest(key, model.model_fields)}; allowed are {', '.join(model.model_fields)}"
    if found["type"] == "missing":
        return f"{where} {key!r} is missing"
    said = found["msg"].removeprefix("Value error, ")
    if not key:
        return said if said.startswith(where) else f"{where}: {said}"
    close = ""
    if found["type"] == "literal_error":
        allowed = found["ctx"]["expected"].replace(" or ", ", ").replace("'", "").split(", ")
        close = nearest(str(found["input"]), allowed)
    shown = str(found["input"].run_path) if isinstance(found["input"], Settings) else repr(found["input"])
    shown = shown if len(shown) < 200 else f"{shown[:200]}..."
    return f"{where} {key!r} is {shown}: {said[0].lower()}{said[1:]}{close}"
