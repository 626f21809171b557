"""Figures 2, 9, 10 and 26 of the isometric VAE paper: the toy densities, the weights of the losses, cross-entropy's metric."""

from pathlib import Path

import numpy as np
import pandas as pd

from echo_tf.figures import style
from echo_tf.isometry.sources import SHAPES, VARIANCES, Density
from echo_tf.isometry.theory import cross_entropy_metric

NEEDS_KERAS = True  # the weights of the losses are those of a layer
COLORS = (style.BLUE, style.VERMILLION, style.GREEN)
DASHES = ("-", (0, (5, 1.5)), (0, (1, 1)))
POINTS = 400
WIDEST = 5.0  # of s1 in figure 10


def write(material):
    """Draws <study>/sources, <study>/weights and <study>/cross_entropy; returns the paths of the PNGs. Reads no records."""
    folder = Path(material.results, "figures", material.study)
    paths = []
    for name, draw, table in (
        ("sources", _draw_sources, _sources()),
        ("weights", _draw_weights, _weights()),
        ("cross_entropy", _draw_metric, _metric()),
    ):
        paths.append(style.save(style.drawn(draw, table), folder / name, {"": table}))
    return paths


def _sources():
    parts = []
    for source, shapes in SHAPES.items():
        for variable, (shape, variance) in enumerate(zip(shapes, VARIANCES), 1):
            density = Density(shape, variance)
            low, high = np.clip(density.limits, -4 * variance**0.5, 4 * variance**0.5)
            s = np.linspace(low, high, POINTS)
            parts.append(pd.DataFrame({"source": source, "variable": f"s{variable}", "s": s, "p": np.exp(density.log_prob(s))}))
    return pd.concat(parts)


def _draw_sources(table):
    figure = style.new_figure(9, 2.8)
    for axes, (source, rows) in zip(figure.subplots(1, 3, sharey=True), table.groupby("source", sort=False)):
        for (name, part), color, dashes, variance in zip(rows.groupby("variable"), COLORS, DASHES, VARIANCES):
            label = f"{name}: mean 0, variance {variance:.3g}"
            s, p = _to_the_ground(part)
            axes.plot(s, p, color=color, linestyle=dashes, linewidth=1.4, label=label)
        axes.set(title=source, xlabel="s", ylim=(0, 1.9))
        axes.legend(frameon=False, fontsize=7)
    figure.axes[0].set_ylabel("p(s)")
    return figure


def _to_the_ground(part):
    """A curve whose ends go down to 0."""
    s, p = part["s"].to_numpy(), part["p"].to_numpy()
    return s[[0, *range(len(s)), -1]], np.concatenate([[0], p, [0]])


def _weights():
    from echo_tf.isometry.losses import LOSSES, weight

    s = np.linspace(-WIDEST, WIDEST, POINTS + 1)
    return pd.DataFrame({"s1": s, **{loss: weight(loss, s[:, None]) for loss in LOSSES}})


def _draw_weights(table):
    figure = style.new_figure(4.2, 3)
    axes = figure.subplots()
    for loss, color, dashes in zip(("down", "up"), COLORS, DASHES):
        axes.plot(table["s1"], table[loss], color=color, linestyle=dashes, linewidth=1.4, label=f"{loss}ward-convex")
    axes.set(xlabel="s1, at s2 = s3 = 0", ylabel="a(x)", ylim=(0, None))
    axes.legend(frameon=False)
    return figure


def _metric():
    x = np.linspace(0.01, 0.99, POINTS)
    return pd.DataFrame({"x": x, "metric": cross_entropy_metric(x)})


def _draw_metric(table):
    figure = style.new_figure(4.2, 3)
    axes = figure.subplots()
    axes.plot(table["x"], table["metric"], color=style.BLUE, linewidth=1.4)
    axes.set(xlabel="x", ylabel="metric of binary cross-entropy", yscale="log")
    return figure
