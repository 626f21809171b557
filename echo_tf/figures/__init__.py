"""Figures, rebuilt from the records of a study alone: each a PNG and a PDF with its numbers as CSV beside it.

`curves` (Figures 2, 3 and 5 of the Echo paper), `samples`, `marginals` (Figure 6), `information` (Figure 7), and `noise`
(Figure 1), which needs no records.
"""

from pathlib import Path

from echo_tf import analysis_tables, records
from echo_tf.errors import InputError
from echo_tf.figures import curves, information, marginals, noise, samples
from echo_tf.tables import study_names

NOISE = "echo/noise"  # the name of Figure 1 where a study's is expected


def write(results, study):
    """Draws every figure that the records of a study allow.

    Args:
        results: the results folder.
        study: its name, or "echo/noise" for Figure 1.

    Returns:
        The paths of the PNGs, below results/figures/<study>.

    Raises:
        InputError: if the study has no finished runs.
    """
    if study == NOISE:
        return [noise.write(results)]
    groups = records.by_configuration(results, study)
    if not groups:
        known = ", ".join([*study_names(results), NOISE])
        raise InputError(f"no finished runs of {study!r} in {Path(results, 'runs')}; figures can be drawn of {known}.")
    panels = {}
    for group in groups:
        panels.setdefault((group[0]["config"]["dataset"], group[0]["config"]["preset"]), []).append(group)
    paths = []
    for (dataset, preset), found in sorted(panels.items()):
        if _makes_curves([group[0]["config"] for group in found]):
            paths.append(curves.write(results, study, dataset, preset, found))
        if with_samples := samples.chosen([record for group in found for record in group]):
            paths.append(samples.write(results, study, dataset, preset, with_samples))
    for group in analysis_tables.analysed(results, study):
        paths += [marginals.write(results, group[0]), information.write(results, group[0])]
    return paths


def _makes_curves(configs):
    """Whether these are more than one point, and not the variants of one: those have their table."""
    of_variants = all(config.get("variant") for config in configs)
    return len({config["beta"] for config in configs} if of_variants else configs) > 1
