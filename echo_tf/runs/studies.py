"""Studies: a study's file, and the runs that it stands for."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pydantic

from echo_tf.errors import InputError, nearest
from echo_tf.runs.kind_of import DEFAULT, forms, kind_of
from echo_tf.runs.settings import Measurement, Settings, checked, difference, validated
from echo_tf.runs.yaml_text import read_yaml

OWN = "own"  # the preset of a run that no study has
TRIAL = "smoke"  # the preset that only shows that things run
NO_RESULTS = (OWN, TRIAL)


class Published(pydantic.BaseModel):
    """Numbers that a paper printed, beside which a table sets those of the runs.

    file: a CSV file in results/published.
    on: the columns by which its rows are matched, a list, or {its column: the table's}.
    where: {column of the table: value} of the rows that it speaks of; null is no value.
    columns: {its column: the table's} of numbers that the two call differently.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    file: str = pydantic.Field(pattern=r"^[A-Za-z0-9_]+\.csv$")
    on: dict[str, str]
    where: dict[str, Any] = {}
    columns: dict[str, str] = {}

    @pydantic.field_validator("on", mode="before")
    @classmethod
    def _same_names(cls, on):
        return {name: name for name in on} if isinstance(on, list) else on


class Study(pydantic.BaseModel):
    """A study's file. Its runs are the product of its variants, its zips and its axes; none where it has no settings at all
    and measures nothing.

    kind: of its runs (`echo_tf.kinds`).
    extends: another study, whose base this one's goes before.
    of: for kinds that measure a trained model, the study whose runs are measured, each in the same preset.
    base: settings that all runs share.
    axes: setting -> its values.
    zips: settings that vary together: each zip maps several settings to equally long lists.
    variants: name -> settings. The name stands in the run's name, so variants may differ in any setting. The name ""
        is for the runs that are no variant of anything, beside those that are.
    presets: name -> settings, the scale of a study. One that names another study as `extends` begins with what that has in
        its preset of the same name, all but its "variant".
    tables, figures: what is made of its records, by form (`echo_tf.tables`, `echo_tf.figures`); None: the kind's.
    published: a `Published`, or several by the name of the table that they go into.

    A preset replaces what the base says. Where it names a setting that varies, a list replaces the values and a
    single value pins it ("variant" takes names of variants); a zip in which it names a setting is set aside whole.
    A variant does the same on top of the preset.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    study: str = pydantic.Field(pattern=r"^[a-z0-9_]+(/[a-z0-9_]+)*$")
    description: str
    kind: str = DEFAULT
    extends: str | None = None
    of: str | None = None
    base: dict = {}
    axes: dict[str, list] = {}
    zips: list[dict[str, list]] = []
    variants: dict[str, dict] = {}
    presets: dict[str, dict] = {"paper": {}}
    tables: list[str] | None = None
    figures: list[str] | None = None
    published: Published | dict[str, Published] | None = None
    _file: Path | None = None
    _measured: "Study | None" = None

    @pydantic.field_validator("presets")
    @classmethod
    def _has_a_preset(cls, presets):
        if not presets:
            raise ValueError("it must have at least one")
        return presets

    @pydantic.model_validator(mode="after")
    def _each_setting_varies_once(self):
        keys = [*self.axes, *(key for group in self.zips for key in group), *(["variant"] if self.variants else [])]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            raise ValueError(f"{twice[0]} varies in more than one place of axes, zips and variants")
        return self

    @property
    def file(self) -> Path | None:
        """The file that it was read from."""
        return self._file

    @property
    def measured(self) -> "Study | None":
        """The study that `of` names."""
        return self._measured

    @property
    def has_runs(self) -> bool:
        """Whether it is more than a table or a figure."""
        return bool(self.base or self.groups or self.variants or self.of)

    @property
    def varying(self) -> list[str]:
        """The settings along which runs can be chosen."""
        own = [*(["variant"] if self.variants else []), *(key for group in self.groups for key in group)]
        return list(dict.fromkeys([*own, *(self.measured.varying if self.measured else ())]))

    @property
    def groups(self) -> list[dict]:
        """The zips, and each axis as a zip of one setting."""
        return [*self.zips, *({axis: choices} for axis, choices in self.axes.items())]

    def forms(self, what: str) -> Sequence[str]:
        """The names of its tables or figures ("tables", "figures")."""
        given = getattr(self, what)
        return forms(self.kind, what.upper()) if given is None else given

    def published_in(self, table: str) -> Published | None:
        """The published numbers that go into a table; a single `Published` goes into the first."""
        if isinstance(self.published, Published):
            return self.published if table == next(iter(self.forms("tables")), None) else None
        return (self.published or {}).get(table)

    def choose_preset(self, name: str | None = None) -> str:
        """The name of a preset, None being "paper" or else the first. Raises InputError if there is no such preset."""
        if name is None:
            name = "paper" if "paper" in self.presets else next(iter(self.presets))
        if name not in self.presets:
            known = ", ".join(self.presets)
            raise InputError(f"{self.study} has the presets {known}, got {name!r}{nearest(name, self.presets)}.")
        return name


def read_study(config: str | Path, folder: str | Path = "configs") -> Study:
    """Reads a study by path, or by name below `folder` ("echo/table1"), with those that it extends and measures.

    Raises:
        InputError: if there is none, or it is not what a study is.
    """
    return _read(config, Path(folder), ())


def studies_in(name: str, folder: str | Path) -> list[Path]:
    """The files of the studies of a paper, a folder below `folder` ("": of all); none for any other name."""
    folder = Path(folder).resolve()
    place = (folder / name).resolve()
    within = not name or folder in place.parents  # "." and ".." are no papers
    return sorted(place.rglob("*.yaml")) if within and place.is_dir() else []


def _read(config, folder, on_the_way):
    path = Path(config)
    if not path.is_file():
        path = folder / f"{config}.yaml"
    if not path.is_file():
        names = [p.relative_to(folder).with_suffix("").as_posix() for p in sorted(folder.rglob("*.yaml"))]
        raise InputError(
            f"no configuration {str(config)!r}; there are {', '.join(names) or 'none'}{nearest(str(config), names)}."
        )
    path = path.resolve()
    if path in on_the_way:
        raise InputError(f"{path} extends or measures itself, by way of {', '.join(place.name for place in on_the_way)}.")
    try:
        content = read_yaml(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise InputError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    study = checked(Study, content, str(path))
    kind_of(study.kind)
    if study.extends:
        shared = _read(study.extends, folder, (*on_the_way, path)).base
        study = study.model_copy(update={"base": {**shared, **study.base}})
    study = study.model_copy(update={"presets": _extended(study.presets, folder, (*on_the_way, path))})
    study._file = path
    if study.of:
        if not issubclass(kind_of(study.kind).Settings, Measurement):
            raise InputError(
                f"{path} has the kind {study.kind}, which trains: 'of' is for kinds that measure; for settings of "
                f"another study's base use 'extends: {study.of}'."
            )
        study._measured = _read(study.of, folder, (*on_the_way, path))
    return study


def _extended(presets, folder, on_the_way):
    """The presets, with what those take over that extend another study's of the same name."""
    found = {}
    for name, settings in presets.items():
        own = dict(settings)
        other = own.pop("extends", None)
        if other is not None:
            if not isinstance(other, str):
                raise InputError(f"the preset {name!r} of {on_the_way[-1]} extends {other!r}, which is no name of a study.")
            shared = _read(other, folder, on_the_way)
            own = {**{k: v for k, v in shared.presets[shared.choose_preset(name)].items() if k != "variant"}, **own}
        found[name] = own
    return found


def combinations(
    study: Study, preset: str | None = None, variant: str | None = None, wanted: Mapping[str, Any] | None = None
) -> Iterator[dict]:
    """The settings of every run of a study, one dict each, the last axis changing fastest; of a measurement, its own alone.

    Args:
        preset: a key of its presets; None is "paper" where there is one.
        variant: a key of its variants, for the runs of that one alone; None: those of the preset.
        wanted: settings that a run is to have. Of what varies together, the rows that have them are taken where the preset
            has some, else those that it leaves out, else all of its own.

    Raises:
        InputError: for an unknown preset or variant, lists of different lengths in a zip, or one that is empty.
    """
    preset = study.choose_preset(preset)
    scale = dict(study.presets[preset])
    names = [None]
    if study.variants:
        names = as_list(scale.pop("variant", list(study.variants)))
        names = names if variant is None else [variant]
    for name in names:
        if name is not None and (not isinstance(name, str) or name not in study.variants):
            known = ", ".join(study.variants)
            raise InputError(f"{study.study} has the variants {known}, got {name!r}{nearest(str(name), study.variants)}.")
        given = {**scale, **study.variants.get(name, {})}
        pinned = study.variants.get(name, {})
        rows_of = [_wanted(study, group, given, wanted, any(key in pinned for key in group)) for group in study.groups]
        shared = {**study.base, "kind": study.kind, "study": study.study, "preset": preset}
        shared.update({key: value for key, value in given.items() if not any(key in group for group in study.groups)})
        if name:
            shared["variant"] = name
        for rows in itertools.product(*rows_of):
            yield {**shared, **{key: value for row in rows for key, value in row.items()}}


def expand(study: Study, preset: str | None = None, only: Sequence[str] = ()) -> list[Settings]:
    """All runs of a study, always in the same order.

    Args:
        preset: a key of its presets; None is "paper" where there is one.
        only: strings "axis=value[,value]"; runs with other values are left out.

    Raises:
        InputError: for settings that do not hold, an axis or a value that the study does not have, or two runs whose
            records would stand at one path.
    """
    if not study.has_runs:
        return []
    runs, measured = {}, expand(study.measured, preset) if study.measured is not None else None
    for values in combinations(study, preset):
        own, chosen = split(study, values)
        for model in _models(measured, chosen):
            settings = validated({**own, **model}, study.variants.get(values.get("variant"), ()))
            other = runs.setdefault(settings.run_path, settings)
            if other is not settings:
                changes = "; ".join(difference(other, settings)) or "nothing"
                raise InputError(
                    f"two runs of {study.study} have the name {settings.run_path}, they differ in {changes}: "
                    "give them names of their own by making them variants."
                )
    return _chosen(study, list(runs.values()), only)


def _models(measured, chosen):
    """The `model` of each run of a measurement, those of the measured runs with the chosen settings; else, once, nothing."""
    if measured is None:
        return [{}]
    for key in chosen:
        if not all(_has_setting(model, key) for model in measured):
            known = ", ".join(type(measured[0]).model_fields)
            raise InputError(
                f"setting {key!r} is none of the runs that are measured{nearest(key, known.split(', '))}: {known}."
            )
    return [{"model": model} for model in measured if all(_value(model, key) == value for key, value in chosen.items())]


def _has_setting(settings, key):
    return key in type(settings).model_fields or (isinstance(settings, Measurement) and _has_setting(settings.model, key))


def split(study: Study, values: Mapping) -> tuple[dict, dict]:
    """The settings that are a run's own, and those of the model that it measures: all that its kind does not add."""
    if study.measured is None:
        return dict(values), {}
    fields = kind_of(study.kind).Settings.model_fields
    own = {"kind", "study", "preset", "name", "deterministic"} | (set(fields) - set(Settings.model_fields))
    return {k: v for k, v in values.items() if k in own}, {k: v for k, v in values.items() if k not in own}


def networks_in(runs: Sequence[Settings]) -> set[str]:
    """The names of the architectures that runs, or the models that they measure, have."""
    found = {settings.subject.network for settings in runs if hasattr(settings.subject, "network")}
    return found | {settings.encoder_network for settings in runs if hasattr(settings, "encoder_network")}


def pick(runs: Sequence[Settings], index: int) -> Settings:
    """The run of a number in `listing`. Raises InputError if there is none."""
    if not 0 <= index < len(runs):
        raise InputError(f"the runs have the indices 0 to {len(runs) - 1}, got {index}.")
    return runs[index]


def _chosen(study, runs, only):
    for word in only:
        axis, equals, choices = word.partition("=")
        if not equals or axis not in study.varying:
            known = ", ".join(study.varying)
            raise InputError(
                f"{study.study} varies {known}: 'only' takes axis=value[,value], got {word!r}{nearest(axis, study.varying)}."
            )
        there = list(dict.fromkeys(_value(settings, axis) for settings in runs))
        chosen = []
        for text in choices.split(","):
            found = [value for value in there if _reads_as(text, value)]
            if not found:
                known = list(map(str, there))
                raise InputError(f"{axis} has the values {', '.join(known)} here, got {text!r}{nearest(text, known)}.")
            chosen += found
        runs = [settings for settings in runs if _value(settings, axis) in chosen]
    return runs


def _value(settings, axis):
    """A setting of a run, or of the model that it measures."""
    while isinstance(settings, Measurement) and (axis not in type(settings).model_fields or axis in ("variant", "seed")):
        settings = settings.model
    value = getattr(settings, axis)
    return tuple(value) if isinstance(value, list) else value


def _reads_as(text, value):
    try:
        found = read_yaml(text)
    except ValueError:
        return False
    return text == str(value) or (found == value and isinstance(found, bool) == isinstance(value, bool))


def as_list(value) -> list:
    """A value as a list of values."""
    return value if isinstance(value, list) else [value]


def _columns(group, given):
    """An axis or zip as the preset and the variant leave it."""
    replaced = {key: as_list(given[key]) for key in group if key in given}
    return replaced or group


def _wanted(study, group, given, wanted, pinned):
    """The rows of an axis or zip, those that have the wanted settings where there are any; see `combinations`."""
    rows = _rows(study, _columns(group, given))
    asked = {key: wanted[key] for key in group if key in (wanted or {})}
    for choices in (rows, [] if pinned or not asked else _rows(study, group)):
        found = [row for row in choices if all(key in row and row[key] == value for key, value in asked.items())]
        if found:
            return found
    return rows


def _rows(study, columns):
    lengths = {key: len(values) for key, values in columns.items()}
    if len(set(lengths.values())) != 1 or 0 in lengths.values():
        said = ", ".join(f"{key} has {length}" for key, length in lengths.items())
        raise InputError(f"{study.study} needs equally many values, and at least one, of what varies together: {said}.")
    return [dict(zip(columns, values)) for values in zip(*columns.values())]
