"""Figures 21 and 22 of the isometric VAE paper: coding loss and its ratio to the transform loss by beta, square loss.

Beside them the paper's approximations, and the exact optimum of the source "norm", which the paper does not have.
"""

from pathlib import Path

import numpy as np

from echo_tf.figures import style
from echo_tf.isometry.theory import approximate_losses, normal_curves
from echo_tf.tables.isometric_toys import alike, file_name, trainings

STYLES = {"mix": (style.BLUE, "o"), "ramp": (style.VERMILLION, "s"), "norm": (style.GREEN, "^")}


def write(material):
    """Draws <preset>_losses; returns the paths of the PNGs."""
    every = trainings(material)
    if every.empty:
        return []
    every = every[(every["weights"] == "averaged") & (every["loss"] == "square")]
    paths = []
    for preset, rows in alike(every, ["preset"]):
        table = rows.assign(beta=1 / rows["multiplier"])[["source", "seed", "beta", "coding_loss", "transform_loss"]]
        title = f"square loss, preset {', '.join(preset)}, {style.of_seeds(table['seed'].nunique())} (a dot each)"
        figure = style.drawn(_draw, table, title)
        exact = normal_curves(np.geomspace(table["beta"].min(), table["beta"].max(), 60))
        stem = Path(material.results, "figures", material.study, file_name(*preset, "losses"))
        paths.append(style.save(figure, stem, {"": table, "_exact": exact}))
    return paths


def _draw(table, title):
    figure = style.new_figure(7.2, 3)
    figure.suptitle(title, fontsize=10)
    coding, ratio = figure.subplots(1, 2)
    beta = np.geomspace(table["beta"].min(), table["beta"].max(), 60)
    approximate, exact = approximate_losses(beta), normal_curves(beta)
    for source, rows in table.groupby("source"):
        color, marker = STYLES[source]
        look = {"color": color, "marker": marker, "linestyle": "none", "markersize": 4, "label": source}
        coding.plot(rows["beta"], rows["coding_loss"], **look)
        ratio.plot(rows["beta"], rows["transform_loss"] / rows["coding_loss"], **look)
    coding.plot(beta, approximate[0], color=style.GREY, linewidth=1, label="3β/2")
    ratio.plot(beta, approximate[1] / approximate[0], color=style.GREY, linewidth=1, label="21β/16")
    label = {"color": style.GREEN, "linewidth": 1, "linestyle": (0, (4, 1)), "label": "norm, exact"}
    coding.plot(beta, exact["coding_loss"], **label)
    ratio.plot(beta, exact["transform_loss"] / exact["coding_loss"], **label)
    coding.set(ylabel="coding loss", yscale="log")
    ratio.set(ylabel="transform loss / coding loss", yscale="log")
    for axes in (coding, ratio):
        axes.set(xscale="log", xlabel="β")
        axes.legend(frameon=False, fontsize=7)
    return figure
