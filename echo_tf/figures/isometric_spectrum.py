"""Figures 4, 5, 24 and 25 of the isometric VAE paper: latent dimensions by importance, and their norms."""

from pathlib import Path

import pandas as pd

from echo_tf.data.catalog import title_of
from echo_tf.figures import style
from echo_tf.figures.panels import label
from echo_tf.isometry.picture import plot


def write(material):
    """Draws <dataset>_<method>_<run>_spectrum of each analysed autoencoder; returns the paths of the PNGs."""
    paths = []
    for result in material.own:
        if result.finished and result.settings.kind == "isometry" and result.settings.model.kind != "toy":
            model, table = result.settings.model, pd.DataFrame(result.rows())
            said = f"{title_of(model.dataset)}, {label(model)}, β = {model.beta:g}, preset {result.settings.preset}, one seed"
            name = f"{model.dataset}_{model.method}_{result.settings.run_name}_spectrum"
            stem = Path(material.results, "figures", material.study, name)
            paths.append(style.save(style.drawn(_draw, table, said), stem, {"": table}))
    return paths


def _draw(table, title):
    figure = style.new_figure(6.4, 3.4)
    axes = figure.subplots()
    plot(table, axes)
    axes.set_title(title)
    return figure
