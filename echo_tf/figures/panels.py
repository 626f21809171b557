"""The trainings of a study by dataset and preset: what a panel of several figures is of, and what to call each."""

from collections.abc import Sequence
from operator import attrgetter

from echo_tf.figures import style
from echo_tf.methods import METHODS
from echo_tf.runs.records import Result, by_law, told_apart
from echo_tf.runs.settings import Settings
from echo_tf.tables import Material


def panels(material: Material) -> list[tuple[str, str, list[list[Result]]]]:
    """(dataset, preset, its configurations as lists of runs) of a study's finished trainings, in the order of their names."""
    found = {}
    for group in by_law(result for result in material.own if result.settings.kind == "autoencoder"):
        settings = group[0].settings
        found.setdefault((settings.dataset, settings.preset), []).append(group)
    return [(*key, groups) for key, groups in sorted(found.items())]


def labels(every: Sequence[Settings]) -> list[str]:
    """What to call each of the configurations of a panel: its method, and all that tells it from others of the method but beta
    and seed. Two of one label differ in these alone."""
    # a variant stands for all of its settings
    words = told_apart(every, attrgetter("method", "variant"), ("beta", "standardize"))
    return [label(one, apart) for one, apart in zip(every, words)]


def label(settings: Settings, apart: str | None = None) -> str:
    """What to call a configuration: its method, its variant, what else sets it `apart`; of Echo, whether it is standardized."""
    which = None
    if settings.standardize:
        which = "standardized" if settings.variant != "standardized" else None
    elif settings.method == "echo":
        which = "not standardized" if settings.variant or apart else "as published"
    return ", ".join(filter(None, [style.label_of(settings.method), settings.variant, apart, which]))


def labelled(found: Sequence[Result]) -> list[tuple[str, Result]]:
    """(label, run) of each of the runs of a panel, in the order of the methods."""
    order = {name: i for i, name in enumerate(METHODS)}
    pairs = zip(labels([result.settings for result in found]), found)
    return sorted(pairs, key=lambda pair: order[pair[1].settings.method])
