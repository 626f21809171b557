"""What a gradient buys: the error of -log Z against exact values by the number of gradients, for each sampler (ours)."""

from pathlib import Path

import numpy as np
import pandas as pd

from echo_tf.figures import style
from echo_tf.tables.annealed_curves import curves

STYLES = [
    (style.BLACK, "o", "-"),
    (style.SKY, "s", (0, (4, 1, 1, 1))),
    (style.GREEN, "^", (0, (1, 1))),
    (style.VERMILLION, "D", (0, (5, 1.5))),
    (style.BLUE, "v", "-"),
    (style.PURPLE, "P", "-"),
]


def write(material):
    """Draws <preset>_samplers; returns the path of the PNG, none where no record has exact values."""
    table = errors(curves(material.own, material.every))
    stems = [(preset, Path(material.results, "figures", material.study, f"{preset}_samplers")) for preset in _presets(table)]
    return [
        style.save(style.drawn(_draw, table[table["preset"] == preset], preset), stem, {"": table[table["preset"] == preset]})
        for preset, stem in stems
    ]


def errors(found):
    """A row a curve with exact values: its model, its sampler (the label up to the last _), gradients of the formal round for
    each chain, and the mean and the largest error of -log Z over betas, nats."""
    rows = []
    for curve in found:
        if "exact_neg_log_z_nats" not in curve.points or not curve.settings.label:
            continue
        settings = curve.settings
        error = (curve.points["neg_log_z_nats"] - curve.points["exact_neg_log_z_nats"]).abs()
        rows.append(
            {
                "preset": settings.preset,
                "model": curve.name.partition(",")[0],
                "sampler": settings.label.rpartition("_")[0].replace("_", " "),
                "gradients": (settings.num_temperatures - 1) * (settings.leapfrog_steps + (settings.transition == "tfp_hmc")),
                "mean_error_nats": error.mean(),
                "largest_error_nats": error.max(),
                "images": curve.images,
            }
        )
    return pd.DataFrame(rows)


def _presets(table):
    return list(dict.fromkeys(table["preset"])) if len(table) else []


def _draw(table, preset):
    models = list(dict.fromkeys(table["model"]))
    samplers = list(dict.fromkeys(table["sampler"]))
    figure = style.new_figure(3.4 * len(models) + 0.6, 3.6)
    figure.suptitle(f"error of −log Z, preset {preset}")
    for axes, model in zip(np.atleast_1d(figure.subplots(1, len(models), squeeze=False)[0]), models):
        for sampler, (color, marker, dashes) in zip(samplers, STYLES * len(samplers)):
            rows = table[(table["model"] == model) & (table["sampler"] == sampler)].sort_values("gradients")
            look = {"color": color, "marker": marker, "linestyle": dashes, "markersize": 4, "label": sampler}
            axes.plot(rows["gradients"], rows["mean_error_nats"], **look)
        axes.set(xscale="log", yscale="log", title=model, xlabel="gradients of a chain")
        axes.set_ylabel("mean |error| over β (nats)")
    axes.legend(frameon=False)
    return figure
