"""One run of a study, from the settings that are given for it."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from echo_tf.errors import InputError
from echo_tf.runs.kind_of import kind_of
from echo_tf.runs.settings import Settings, validated
from echo_tf.runs.studies import OWN, Study, as_list, combinations, expand, split
from echo_tf.runs.yaml_text import read_yaml

NO_SETTINGS = {  # what a run has, and is said in another way -> how
    "preset": "take --preset {value}",
    "study": "it is the study that you name",
    "kind": "it is the kind that the study's file names",
    "model": "its settings are given by their own names, as those of this run",
}


def resolve(study: Study, preset: str | None = None, overrides: Sequence[str] = ()) -> Settings:
    """The settings of one run: the first of a study's runs in a preset, then overrides. If those make it a run that the study
    does not have in any scale, its preset is called "own".

    Args:
        preset: a key of the study's presets; None is "paper" where there is one.
        overrides: strings "key=value", the value in YAML. "variant" chooses one of the study's variants. Of a measurement,
            what is no setting of its own is one of the model's.

    Raises:
        InputError: naming the key, the value, what is allowed and the nearest match; for a setting that contradicts the variant
            that is asked for; for a study without runs.
    """
    given = _given(overrides)
    for key in given:
        if key in NO_SETTINGS:
            raise InputError(f"{key!r} is no setting that is given here: {NO_SETTINGS[key].format(value=given[key])}.")
    return _resolved(study, preset, given)


def _resolved(study, preset, given, implied=MappingProxyType({})):
    """As `resolve`, of settings in a dict; `implied`: those of them that nobody has asked for."""
    if not study.has_runs:
        raise InputError(f"{study.study} has no runs: it is a figure or a table alone.")
    nobody_s = "variant" not in given
    given = {**implied, **given}
    deliberate, of_model = split(study, given)
    variant = _variant(study, preset, given, nobody_s)
    first, chosen = split(study, next(combinations(study, preset, variant, deliberate)))
    if _contradictions(study, preset, first.get("variant"), deliberate):
        first["variant"] = None  # but for what was asked for it is this variant, and so it is none
    deliberate = {key: _within(first.get(key), value) for key, value in deliberate.items() if key != "variant"}
    values = {**first, **deliberate}
    if study.measured is not None:
        values["model"] = _resolved(study.measured, values["preset"], of_model, chosen)
    settings = validated(values, deliberate)
    known = _is_of(first, deliberate) and getattr(values.get("model"), "preset", None) != OWN
    if known or any((one.run_path, one.work()) == (settings.run_path, settings.work()) for one in _all_of(study, preset)):
        return settings
    return settings.model_copy(update={"preset": OWN})


def _variant(study, preset, given, implied):
    """The variant that is asked for; of a training, else the first of its preset that has what is given; None: any.

    Raises:
        InputError: where there are none; for a training of a variant that is asked for against what makes it that variant.
    """
    trains = study.measured is None
    if "variant" not in given or not study.variants:
        if "variant" in given and trains:
            raise InputError(f"{study.study} has no variants, got {given['variant']!r}: leave it out.")
        names = as_list(study.presets[study.choose_preset(preset)].get("variant", [*study.variants])) if trains else []
        return next((name for name in names if not _contradictions(study, preset, name, given)), None)
    name = "" if given["variant"] is None else given["variant"]
    for key, value in {} if implied or not trains else _contradictions(study, preset, name, given).items():
        raise InputError(
            f"variant={name} of {study.study} has {key}={value}, got {key}={given[key]}: leave one of the two out."
        )
    return name


def _contradictions(study, preset, name, given):
    """Of the settings that tell a study's variants apart, but for the seed: {key: what this variant has} where other values are
    given."""
    if not isinstance(name, str) or name not in study.variants:
        return {}
    own, varying, found = study.variants[name], {key for group in study.groups for key in group}, {}
    everybody_s = {**study.base, **study.presets[study.choose_preset(preset)]}
    fields = kind_of(study.kind).Settings.model_fields
    for key in {key for other in study.variants.values() for key in other} & given.keys() - {"seed"}:
        if key in varying:
            has, same = own.get(key), key not in own or given[key] in as_list(own[key])
        else:
            has = own.get(key, everybody_s.get(key, fields[key].default if key in fields else None))
            value = _within(has, given[key])
            both = isinstance(has, Mapping) and isinstance(value, Mapping)
            same = value == ({**value, **has} if both else has)
        if not same:
            found[key] = has
    return found


def _all_of(study, preset):
    """The runs of a study in a preset; none where it has none that hold, which is said when they are asked for."""
    try:
        return expand(study, preset)
    except InputError:
        return []


def _given(overrides):
    given = {}
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            raise InputError(f"settings are given as key=value, got {override!r}.")
        key, *inner = key.split(".")  # network_settings.output_kernel=5
        try:
            value = read_yaml(value)
        except ValueError as error:
            raise InputError(f"{key}: {value!r} is not a YAML value.") from error
        if key in given and not inner and given[key] != value:
            raise InputError(f"setting {key!r} is given twice, {given[key]!r} and {value!r}: leave one of the two out.")
        for part in reversed(inner):
            value = _OneOfAGroup({part: value})
        given[key] = _within(given.get(key), value)
    return given


class _OneOfAGroup(dict):
    """A setting given as group.key=value, which leaves the others of its group as they are."""


def _within(before, value):
    """What a setting becomes that was something before."""
    if not isinstance(value, _OneOfAGroup) or not isinstance(before, Mapping):
        return value
    return type(value)({**before, **{key: _within(before.get(key), inner) for key, inner in value.items()}})


def _is_of(first, given):
    """Whether a study's run, chosen for what is given, has all of that: then the study has this run in some scale."""
    besides = ("variant", "name", "deterministic")
    return all(key in besides or (key in first and first[key] == value) for key, value in given.items())
