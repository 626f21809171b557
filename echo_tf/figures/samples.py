"""Images generated from each method's own marginal: p(z), or Echo's q(z), which is the law of its noise."""

from pathlib import Path

import numpy as np
import pandas as pd

from echo_tf import records
from echo_tf.data.catalog import title_of
from echo_tf.evaluation import METRICS
from echo_tf.figures import style
from echo_tf.methods import METHODS

COLUMNS = 20
NEAR_BETA = 1.0


def chosen(found):
    """Of each method the run with samples whose beta is nearest to 1, and the lowest seed of these: {method: record}."""

    def distance(record):
        beta = record["config"]["beta"]
        return abs(np.log(beta / NEAR_BETA)) if beta > 0 else np.inf, record["config"]["seed"]

    order = {name: i for i, name in enumerate(METHODS)}
    by_method = {}
    for record in sorted((r for r in found if "samples" in r["examples"]), key=distance):
        by_method.setdefault(record["config"]["method"], record)
    return dict(sorted(by_method.items(), key=lambda item: order.get(item[0], len(order))))


def write(results, study, dataset, preset, runs):
    """Writes results/figures/<study>/<dataset>_<preset>_samples.png, .pdf and, for the runs shown, .csv.

    Args:
        runs: of `chosen`, not empty.

    Returns:
        The PNG's path.
    """
    table = pd.DataFrame(
        {
            **{key: record["config"][key] for key in ("dataset", "preset", "method", "beta", "seed")},
            "samples": len(records.unpack_images(record["examples"]["samples"])),
            **{name: record["test"]["metrics"][name]["mean"] for name in METRICS},
        }
        for record in runs.values()
    )
    title = f"Samples from each method's marginal (means of p(x|z)), {title_of(dataset)}, preset {preset}"
    stem = Path(results, "figures", study, f"{dataset}_{preset}_samples")
    return style.save(style.drawn(_draw, runs, title), stem, {"": table})


def _draw(runs, title):
    images = [records.unpack_images(record["examples"]["samples"]) for record in runs.values()]
    labels = [
        f"{style.label_of(method)}, β={record['config']['beta']:g}\n{record['test']['metrics']['rate_nats']['mean']:.1f} nats"
        for method, record in runs.items()
    ]
    columns = min(COLUMNS, len(images[0]))
    figure = style.new_figure(7.2, 0.32 + len(runs) * max(6.1 / columns * 1.07, 0.33))
    axes = figure.subplots()
    style.show_images(axes, images, labels, columns)
    axes.tick_params(labelsize=7)
    axes.set_title(title, fontsize=9)
    return figure
