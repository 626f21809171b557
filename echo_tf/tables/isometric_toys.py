"""What the tables and figures of the toy trainings share: a row a training, its latent dimensions in the order of the paper."""

import re
from collections.abc import Iterator
from operator import attrgetter

import pandas as pd

from echo_tf.kinds import isometry
from echo_tf.runs.records import Result, by_law, told_apart
from echo_tf.tables import Material

LATENTS = ("z1", "z2", "z3")  # the paper's, by rising variance
TITLES = {"square": "squared_error", "down": "downward_convex", "up": "upward_convex"}
IN_TABLES = 100.0  # lambda of tables 1 and 2
KEYS = ("source", "loss", "seed", "preset", "epochs", "points", "reduction", "multiplier", "weights")


def groups(material: Material) -> list[tuple[str, list[Result]]]:
    """The analyses of toy trainings in lists of equal settings but the seed, and what tells each list from others of the same
    preset, in words; "" where nothing does. A row or a file of each lambda, source and loss is told apart anyhow."""
    found = by_law(
        result for result in material.own if result.settings.kind == "isometry" and result.settings.model.kind == "toy"
    )
    words = told_apart([group[0].settings for group in found], attrgetter("preset"), ("multipliers", "source", "loss"))
    return list(zip(words, found))


def trainings(material: Material) -> pd.DataFrame:
    """A row a toy training, and one for each of its averaged and last weights: norm_z1, ..., losses, correlations R.

    `apart`: what tells its settings from others of the same preset, see `groups`.
    """
    every = [(apart, result) for apart, group in groups(material) for result in group]
    rows = [{**_row(result, one), "apart": apart} for apart, result in every for one in isometry.trainings(result.record)]
    return pd.DataFrame(rows)


def alike(table: pd.DataFrame, by: list[str]) -> Iterator[tuple[list[str], pd.DataFrame]]:
    """The parts of `trainings` that are alike in `by` and in all settings but seed, source and loss: what to call each, and its
    rows."""
    for names, rows in table.groupby([*by, "apart"], sort=False):
        yield [*filter(None, names)], rows


def file_name(*words: str) -> str:
    """Words, among which may be settings, as a part of a path."""
    return "_".join(re.sub(r"[^\w.-]+", "", word) for word in words if word)


def preset_of(row) -> str:
    """The preset of a row of `trainings`, with what tells it from others."""
    return ", ".join(filter(None, [row["preset"], row["apart"]]))


def _row(result, training):
    model = result.settings.model
    shared = {"multiplier": training["multiplier"], "weights": training["weights"], "preset": result.settings.preset}
    row = {key: shared[key] if key in shared else getattr(model, key) for key in KEYS}
    table = pd.DataFrame(training["table"]).sort_values("inverse_variance", kind="stable")
    for latent, values in zip(LATENTS, table.to_dict("records")):
        row |= {f"{name}_{latent}": value for name, value in values.items() if name != "latent"}
    row |= {f"ratio_{latent}": row[f"inverse_variance_{latent}"] / row["inverse_variance_z1"] for latent in LATENTS[1:]}
    row |= {**training["losses"], "transform_over_coding": _ratio(training["losses"])}
    row |= {f"correlation_{name}": value for name, value in training["correlations"].items()}
    return {**row, **{f"slope_{name}": value for name, value in training["slopes"].items()}}


def _ratio(losses):
    return losses["transform_loss"] / losses["coding_loss"] if losses["coding_loss"] else None
