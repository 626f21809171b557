"""Figure 7 of the Echo paper: the pointwise rate and ||f(x)|| by likelihood, from a stored analysis."""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from echo_tf.data.catalog import title_of
from echo_tf.figures import style
from echo_tf.figures.panels import label
from echo_tf.tables.total_correlation import analysed, arrays, name_of

WINDOW = 0.02  # share of the images in a running mean


def write(material):
    """Draws <dataset>_<run>_information of the first run of each analysed configuration; returns the paths of the PNGs."""
    return [write_run(material, group[0]) for group in analysed(material)]


def write_run(material, result):
    """Writes results/figures/<study>/<dataset>_<run>_information.png, .pdf and .csv; returns the PNG's path."""
    settings, found = result.settings.subject, arrays(result)
    names = ("image", "log_likelihood_nats", "pointwise_rate_nats", "loc_norm", "total_intensity")
    table = pd.DataFrame({name: found[name] for name in names if name in found})  # older analyses have no intensity
    stem = Path(material.results, "figures", material.study, f"{settings.dataset}_{name_of(settings)}_information")
    title = f"{label(settings)}, {title_of(settings.dataset)}, β = {settings.beta:g}, one seed"
    return style.save(style.drawn(_draw, table, title), stem, {"": table})


def _draw(table, title):
    figure = style.new_figure(6, 5.4)
    panels = figure.subplots(3, 1, sharex=True, height_ratios=[0.7, 1, 1])
    rows = (
        ("log_likelihood_nats", "log p(x|z)\n(nats)", style.BLACK),
        ("pointwise_rate_nats", "pointwise rate\n−Σ$_j$ log s$_j$(x) (nats)", style.BLUE),
        ("loc_norm", "magnitude\n‖f(x)‖$_2$", style.VERMILLION),
    )
    rank = np.arange(len(table))
    width = max(1, round(WINDOW * len(table)))
    for axes, (name, said, color) in zip(panels, rows):
        values = table[name].to_numpy(np.float64)
        axes.scatter(rank, values, s=1.5, color=color, alpha=0.25, linewidths=0, rasterized=True)
        if name != "log_likelihood_nats":
            mean = pd.Series(values).rolling(width, center=True, min_periods=1).mean()
            axes.plot(rank, mean, color="white", linewidth=3)
            axes.plot(rank, mean, color=color, linewidth=1.6)
            axes.set_title(_correlations(table, name).replace("-", "−"), loc="right", fontsize=8)
        axes.set_ylabel(said)
    panels[0].set_title(title)
    panels[-1].xaxis.set_major_formatter("{x:,.0f}")
    panels[-1].set_xlabel("test images, by rising log p(x|z)")
    figure.align_ylabels(panels)
    return figure


def _correlations(table, name):
    """Spearman's correlation of a column with the log-likelihood, and what is left of it among images of equal intensity."""
    found = f"Spearman correlation with log p(x|z): {stats.spearmanr(table[name], table['log_likelihood_nats']).statistic:+.2f}"
    if "total_intensity" not in table:
        return found
    mass = stats.spearmanr(table[name], table["total_intensity"]).statistic
    given = partial_spearman(*(table[column] for column in (name, "log_likelihood_nats", "total_intensity")))
    return f"{found} ({given:+.2f} given the image's intensity, with which: {mass:+.2f})"


def partial_spearman(a, b, given):
    """Spearman's partial correlation of a and b given a third: that of their ranks without the linear part of its ranks."""
    ab, ac, bc = (stats.spearmanr(x, y).statistic for x, y in ((a, b), (a, given), (b, given)))
    return (ab - ac * bc) / np.sqrt((1 - ac**2) * (1 - bc**2))
