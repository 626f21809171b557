"""Images generated from each method's own marginal: p(z), or Echo's q(z), which is the law of its noise."""

from pathlib import Path

import numpy as np
import pandas as pd

from echo_tf.data.catalog import title_of
from echo_tf.figures import style
from echo_tf.figures.panels import labelled, panels
from echo_tf.runs.records import unpack_images

COLUMNS = 20
NEAR_BETA = 1.0


def write(material):
    """Draws <dataset>_<preset>_samples where runs have samples; returns the paths of the PNGs."""
    paths = []
    for dataset, preset, groups in panels(material):
        runs = chosen([result for group in groups for result in group])
        if runs:
            paths.append(write_panel(material, dataset, preset, runs))
    return paths


def chosen(found):
    """Of each configuration the run with samples whose beta is nearest to 1, and the lowest seed of these: {its label: result},
    of runs of one panel."""

    def distance(result):
        beta = result.settings.beta
        return abs(np.log(beta / NEAR_BETA)) if beta > 0 else np.inf, result.settings.seed

    runs = {}
    for label, result in labelled([result for result in found if "samples" in result.record.get("examples", {})]):
        runs[label] = min(runs.get(label, result), result, key=distance)
    return runs


def write_panel(material, dataset, preset, runs):
    """Writes results/figures/<study>/<dataset>_<preset>_samples.png, .pdf and, for the runs shown, .csv.

    Args:
        runs: of `chosen`, not empty.

    Returns:
        The PNG's path.
    """
    names = dict.fromkeys(name for result in runs.values() for name in result.record["test"]["metrics"])
    table = pd.DataFrame(
        {
            **{key: getattr(result.settings, key) for key in ("dataset", "preset", "method")},
            "series": label,
            **{key: getattr(result.settings, key) for key in ("beta", "seed")},
            "samples": len(unpack_images(result.record["examples"]["samples"])),
            **{name: result.rows()[0].get(name) for name in names},
        }
        for label, result in runs.items()
    )
    title = f"Samples from each method's marginal (means of p(x|z)), {title_of(dataset)}, preset {preset}"
    stem = Path(material.results, "figures", material.study, f"{dataset}_{preset}_samples")
    return style.save(style.drawn(_draw, runs, title), stem, {"": table})


def _draw(runs, title):
    images = [unpack_images(result.record["examples"]["samples"]) for result in runs.values()]
    labels = [
        f"{label}, β={result.settings.beta:g}\n{result.rows()[0]['rate_nats']:.1f} nats" for label, result in runs.items()
    ]
    columns = min(COLUMNS, len(images[0]))
    figure = style.new_figure(7.2, 0.32 + len(runs) * max(6.1 / columns * 1.07, 0.33))
    axes = figure.subplots()
    style.show_images(axes, images, labels, columns)
    axes.tick_params(labelsize=7)
    axes.set_title(title, fontsize=9)
    return figure
