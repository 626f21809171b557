"""Images generated from each method's own marginal: p(z), or Echo's q(z), which is the law of its noise."""

from pathlib import Path

import numpy as np
import pandas as pd

from echo_tf.data.catalog import title_of
from echo_tf.figures import style
from echo_tf.figures.panels import panels
from echo_tf.methods import METHODS
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
    """Of each method the run with samples whose beta is nearest to 1, and the lowest seed of these: {method: result}."""

    def distance(result):
        beta = result.settings.beta
        return abs(np.log(beta / NEAR_BETA)) if beta > 0 else np.inf, result.settings.seed

    order = {name: i for i, name in enumerate(METHODS)}
    by_method = {}
    for result in sorted((r for r in found if "samples" in r.record.get("examples", {})), key=distance):
        by_method.setdefault(result.settings.method, result)
    return dict(sorted(by_method.items(), key=lambda item: order[item[0]]))


def write_panel(material, dataset, preset, runs):
    """Writes results/figures/<study>/<dataset>_<preset>_samples.png, .pdf and, for the runs shown, .csv.

    Args:
        runs: of `chosen`, not empty.

    Returns:
        The PNG's path.
    """
    names = [name for name in runs[next(iter(runs))].record["test"]["metrics"]]
    table = pd.DataFrame(
        {
            **{key: getattr(result.settings, key) for key in ("dataset", "preset", "method", "beta", "seed")},
            "samples": len(unpack_images(result.record["examples"]["samples"])),
            **{name: result.rows()[0].get(name) for name in names},
        }
        for result in runs.values()
    )
    title = f"Samples from each method's marginal (means of p(x|z)), {title_of(dataset)}, preset {preset}"
    stem = Path(material.results, "figures", material.study, f"{dataset}_{preset}_samples")
    return style.save(style.drawn(_draw, runs, title), stem, {"": table})


def _draw(runs, title):
    images = [unpack_images(result.record["examples"]["samples"]) for result in runs.values()]
    labels = [
        f"{style.label_of(method)}, β={result.settings.beta:g}\n{result.rows()[0]['rate_nats']:.1f} nats"
        for method, result in runs.items()
    ]
    columns = min(COLUMNS, len(images[0]))
    figure = style.new_figure(7.2, 0.32 + len(runs) * max(6.1 / columns * 1.07, 0.33))
    axes = figure.subplots()
    style.show_images(axes, images, labels, columns)
    axes.tick_params(labelsize=7)
    axes.set_title(title, fontsize=9)
    return figure
