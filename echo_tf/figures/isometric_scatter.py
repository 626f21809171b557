"""Figures 3 and 8 of the isometric VAE paper: the density of the toy data against four estimates of it, at lambda 100."""

from pathlib import Path

import numpy as np
import pandas as pd

from echo_tf.figures import style
from echo_tf.tables.isometric_toys import file_name, groups
from echo_tf.tables.published import in_words

ESTIMATES = {  # name -> what the axis says; the order is that of the arrays
    "prior": "p(μ(x))",
    "bound": "exp(−L / β)",
    "posterior_unweighted": "p(μ(x)) Π σ",
    "posterior": "$a(x)^{n/2}$ p(μ(x)) Π σ",
    "objective": "$a(x)^{n/2}$ exp(−L / β)",
}
WITHOUT_WEIGHTS = ("prior", "bound", "posterior")  # of the square loss, whose a(x) is 1
WITH_WEIGHTS = ("prior", "bound", "posterior", "objective")


def write(material):
    """Draws <study>/<source>_<loss>_<preset>_seed<seed>_scatter of each group; returns the paths of the PNGs."""
    folder, paths = Path(material.results, "figures", material.study), []
    for apart, result in [(apart, result) for apart, group in groups(material) for result in group]:
        model, arrays = result.settings.model, result.arrays("scatter")
        [key] = arrays
        [training] = [t for t in result.record["trainings"] if f"{t['multiplier']:g}" == key and t["weights"] == "averaged"]
        p, *logs = np.exp(arrays[key].astype(np.float64))
        table = pd.DataFrame({"p": p, **dict(zip(ESTIMATES, logs))})
        preset = [result.settings.preset, *filter(None, [apart])]
        title = f"{model.source}, {model.loss}, λ = {key}, preset {', '.join(preset)}, seed {model.seed}"
        shown = WITHOUT_WEIGHTS if model.loss == "square" else WITH_WEIGHTS
        figure = style.drawn(_draw, table, training["correlations"], shown, title)
        name = file_name(model.source, model.loss, *preset, f"seed{model.seed}", "scatter")
        paths.append(style.save(figure, folder / name, {"": table}))
    return paths


def _draw(table, correlations, shown, title):
    figure = style.new_figure(2.6 * len(shown), 2.7)
    figure.suptitle(title, fontsize=10)
    for axes, name in zip(np.atleast_1d(figure.subplots(1, len(shown), sharex=True)), shown):
        axes.plot(table["p"], table[name], ".", color=style.BLUE, markersize=1.5, alpha=0.35, rasterized=True)
        axes.set(xlabel="p(x)", ylabel=ESTIMATES[name], xlim=(0, None), ylim=(0, None))
        axes.ticklabel_format(axis="y", scilimits=(-2, 3))
        axes.set_title(f"R = {in_words(correlations[name], '.3f')}", fontsize=9)
    return figure
