"""The trainings of a study by dataset and preset: what a panel of several figures is of."""

from echo_tf.runs.records import Result, by_law
from echo_tf.tables import Material


def panels(material: Material) -> list[tuple[str, str, list[list[Result]]]]:
    """(dataset, preset, its configurations as lists of runs) of a study's finished trainings, in the order of their names."""
    found = {}
    for group in by_law(result for result in material.own if result.settings.kind == "autoencoder"):
        settings = group[0].settings
        found.setdefault((settings.dataset, settings.preset), []).append(group)
    return [(*key, groups) for key, groups in sorted(found.items())]
