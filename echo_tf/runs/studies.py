"""A study's grid: the settings that its runs share, and the ways in which they differ."""

import itertools

import pydantic

from echo_tf.errors import InputError, nearest


class Study(pydantic.BaseModel):
    """A study's file. Its runs are the product of its variants, its zips and its axes.

    base: settings that all runs share.
    axes: setting -> its values.
    zips: settings that vary together: each zip maps several settings to equally long lists.
    variants: name -> settings. The name stands in the run's name, so variants may differ in any setting. The name ""
        is for the runs that are no variant of anything, beside those that are.
    presets: name -> settings, the scale of a study.

    A preset replaces what the base says. Where it names a setting that varies, a list replaces the values and a
    single value pins it ("variant" takes names of variants); a zip in which it names a setting is set aside whole.
    A variant does the same on top of the preset.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    study: str
    description: str
    published: str | None = None
    base: dict
    axes: dict[str, list]
    zips: list[dict[str, list]] = []
    variants: dict[str, dict] = {}
    presets: dict[str, dict]

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
    def varying(self):
        """The settings along which runs can be chosen."""
        return [*(["variant"] if self.variants else []), *(key for group in self.groups for key in group)]

    @property
    def groups(self):
        """The zips, and each axis as a zip of one setting."""
        return [*self.zips, *({axis: choices} for axis, choices in self.axes.items())]

    def choose_preset(self, name=None):
        """The name of a preset, None being "paper" or else the first. Raises InputError if there is no such preset."""
        name = name or ("paper" if "paper" in self.presets else next(iter(self.presets)))
        if name not in self.presets:
            known = ", ".join(self.presets)
            raise InputError(f"{self.study} has the presets {known}, got {name!r}{nearest(name, self.presets)}.")
        return name


def combinations(study, preset=None, variant=None):
    """The settings of every run of a study, one dict each, the last axis changing fastest.

    Args:
        study: a `Study`.
        preset: a key of its presets; None is "paper" where there is one.
        variant: a key of its variants, for the runs of that one alone; None: those of the preset.

    Raises:
        InputError: for an unknown preset or variant, lists of different lengths in a zip, or one that is empty.
    """
    preset = study.choose_preset(preset)
    scale = dict(study.presets[preset])
    names = [None]
    if study.variants:
        names = _as_list(scale.pop("variant", list(study.variants)))
        names = names if variant is None else [variant]
    for name in names:
        if name is not None and name not in study.variants:
            known = ", ".join(study.variants)
            raise InputError(f"{study.study} has the variants {known}, got {name!r}{nearest(str(name), study.variants)}.")
        given = {**scale, **study.variants.get(name, {})}
        columns = [_columns(group, given) for group in study.groups]
        shared = {"study": study.study, "preset": preset, **study.base}
        shared.update({key: value for key, value in given.items() if not any(key in group for group in study.groups)})
        if name:
            shared["variant"] = name
        for rows in itertools.product(*(_rows(study, group) for group in columns)):
            yield {**shared, **{key: value for row in rows for key, value in row.items()}}


def _as_list(value):
    return value if isinstance(value, list) else [value]


def _columns(group, given):
    """An axis or zip as the preset and the variant leave it."""
    replaced = {key: _as_list(given[key]) for key in group if key in given}
    return replaced or group


def _rows(study, columns):
    lengths = {key: len(values) for key, values in columns.items()}
    if len(set(lengths.values())) != 1 or 0 in lengths.values():
        said = ", ".join(f"{key} has {length}" for key, length in lengths.items())
        raise InputError(f"{study.study} needs equally many values, and at least one, of what varies together: {said}.")
    return [dict(zip(columns, values)) for values in zip(*columns.values())]
