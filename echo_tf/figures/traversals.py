"""What each dimension of a code does to an image: traversals, and reconstructions beside the images."""

from pathlib import Path

import numpy as np
import pandas as pd

from echo_tf.data.catalog import title_of
from echo_tf.figures import style
from echo_tf.figures.factors import stem_of, stem_words


def write(material):
    """Draws <dataset>_<method>_<run>_traversals of every measured run; returns the paths of the PNGs."""
    found = [result for result in material.own if result.finished and result.settings.kind == "disentangle"]
    return [write_run(material, result) for result in found]


def write_run(material, result):
    """Writes results/figures/<study>/<dataset>_<method>_<run>_traversals.png, .pdf and .csv; returns the PNG's path."""
    settings, arrays = result.settings.subject, result.arrays("pictures")
    steps, order = arrays["traversal_steps"], np.argsort(-_change(arrays["traversals"]), kind="stable")
    table = pd.DataFrame(
        {
            "dimension": np.repeat(order, len(steps)),
            "step": np.tile(np.arange(len(steps)), len(order)),
            "code": steps[:, order].T.ravel(),
            "change_mean_pixel": np.repeat(_change(arrays["traversals"])[order], len(steps)),
        }
    )
    title = f"{stem_words(settings)}, {title_of(settings.dataset)}"
    stem = Path(material.results, "figures", material.study, f"{stem_of(settings)}_traversals")
    return style.save(style.drawn(_draw, arrays, order, title), stem, {"": table})


def _change(traversals):
    """Of each dimension, the mean absolute difference of a pixel between neighbouring steps."""
    return np.abs(np.diff(traversals.astype(np.float64) / 255, axis=1)).mean(axis=tuple(range(1, traversals.ndim)))


def _draw(arrays, order, title):
    count = arrays["traversals"].shape[1]
    figure = style.new_figure(6.4, 1.0 + 0.6 * (len(order) + 2))
    upper, lower = figure.subplots(2, 1, height_ratios=[2, len(order)])
    shown = [np.asarray(arrays[name][:count], np.float64) / 255 for name in ("images", "reconstructions")]
    style.show_images(upper, shown, ["images", "reconstructed"], count)
    rows = [arrays["traversals"][j] / 255 for j in order]
    style.show_images(lower, rows, [f"$z_{{{j}}}$" for j in order], count)
    upper.set_title(title, fontsize=9)
    lower.set_title("one dimension at a time, from its 1 % to its 99 % quantile; the first image otherwise", fontsize=8)
    for ax in (upper, lower):
        ax.tick_params(labelsize=7)
    return figure
