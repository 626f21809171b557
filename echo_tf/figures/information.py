"""Figure 7 of the Echo paper: pointwise information and ||f(x)|| by likelihood, from a stored analysis."""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from echo_tf import analysis_tables
from echo_tf.data.catalog import title_of
from echo_tf.figures import style

WINDOW = 0.02  # share of the images in a running mean


def write(results, record):
    """Writes results/figures/<study>/<dataset>_<run>_information.png, .pdf and .csv; returns the PNG's path."""
    config, found = record["config"], analysis_tables.read(results, record)
    names = ("image", "log_likelihood_nats", "pointwise_information_nats", "loc_norm")
    table = pd.DataFrame({name: found[name] for name in names})
    stem = Path(results, "figures", config["study"], f"{config['dataset']}_{analysis_tables.run_of(record)}_information")
    title = f"Echo, {title_of(config['dataset'])}, β = {config['beta']:g}"
    return style.save(style.drawn(_draw, table, title), stem, {"": table})


def _draw(table, title):
    figure = style.new_figure(6, 5.4)
    panels = figure.subplots(3, 1, sharex=True, height_ratios=[0.7, 1, 1])
    rows = (
        ("log_likelihood_nats", "log p(x|z)\n(nats)", style.BLACK),
        ("pointwise_information_nats", "information\n−Σ$_j$ log s$_j$(x) (nats)", style.BLUE),
        ("loc_norm", "magnitude\n‖f(x)‖$_2$", style.VERMILLION),
    )
    rank = np.arange(len(table))
    width = max(1, round(WINDOW * len(table)))
    for axes, (name, label, color) in zip(panels, rows):
        values = table[name].to_numpy(np.float64)
        axes.scatter(rank, values, s=1.5, color=color, alpha=0.25, linewidths=0, rasterized=True)
        if name != "log_likelihood_nats":
            mean = pd.Series(values).rolling(width, center=True, min_periods=1).mean()
            axes.plot(rank, mean, color="white", linewidth=3)
            axes.plot(rank, mean, color=color, linewidth=1.6)
            correlation = stats.spearmanr(values, table["log_likelihood_nats"]).statistic
            said = f"running mean over {width:,} images; Spearman correlation with log p(x|z): {correlation:+.2f}"
            axes.set_title(said.replace("-", "−"), loc="right", fontsize=8)
        axes.set_ylabel(label)
    panels[0].set_title(title)
    panels[-1].xaxis.set_major_formatter("{x:,.0f}")
    panels[-1].set_xlabel("test images, by rising log p(x|z)")
    figure.align_ylabels(panels)
    return figure
