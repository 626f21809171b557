"""Figure 6 of the Echo paper: the marginals q(z_j) of an Echo code, by rate, from a stored analysis."""

from pathlib import Path

import numpy as np
import pandas as pd

from echo_tf.data.catalog import title_of
from echo_tf.figures import style
from echo_tf.figures.panels import label
from echo_tf.gaussianity import LOW, LOWEST
from echo_tf.tables.total_correlation import analysed, arrays, name_of

GAUSSIAN = "Gaussian of the same mean and variance"


def write(material):
    """Draws <dataset>_<run>_marginals of the first run of each analysed configuration; returns the paths of the PNGs."""
    return [write_run(material, group[0]) for group in analysed(material)]


def write_run(material, result):
    """Writes results/figures/<study>/<dataset>_<run>_marginals.png, .pdf and .csv; returns the PNG's path."""
    settings, found = result.settings.subject, arrays(result)
    shown = found["shown_dimension"]
    table = pd.DataFrame(
        {
            "dimension": np.repeat(shown, found["density"].shape[1]),
            "rate_nats": np.repeat(found["dimension_rate_nats"][shown], found["density"].shape[1]),
            "z": found["density_at"].ravel(),
            "density_per_unit_of_z": found["density"].ravel(),
            "gaussian_density_per_unit_of_z": _gaussian(found).ravel(),
        }
    )
    stem = Path(material.results, "figures", material.study, f"{settings.dataset}_{name_of(settings)}_marginals")
    title = f"Marginals q(z$_j$), {label(settings)}, {title_of(settings.dataset)}, β = {settings.beta:g}, one seed"
    return style.save(style.drawn(_draw, found, title), stem, {"": table})


def _gaussian(found):
    mean, std = found["shown_mean"][:, None], found["shown_std"][:, None]
    return np.exp(-0.5 * ((found["density_at"] - mean) / std) ** 2) / (std * np.sqrt(2 * np.pi))


def _kinds(count):
    """Name, colour and line style of each dimension: of highest rate, low, lowest."""
    kinds = [("highest rates", style.BLUE, "-")] * max(0, count - LOW - LOWEST)
    kinds += [("low rates", style.ORANGE, (0, (4, 1.5)))] * LOW + [("lowest rate", style.VERMILLION, (0, (1, 1)))] * LOWEST
    return kinds[-count:]


def _draw(found, title):
    shown, gaussian = found["shown_dimension"], _gaussian(found)
    count = len(shown)
    figure = style.new_figure(7, 1.1 + 0.36 * count)
    axes = figure.subplots()
    step = 0.92
    for i, (dimension, (kind, color, dashes)) in enumerate(zip(shown, _kinds(count))):
        at, density, peak = found["density_at"][i], found["density"][i], np.nanmax(found["density"][i])
        base = (count - 1 - i) * step
        axes.fill_between(at, base, base + density / peak, color=color, alpha=0.25, linewidth=0, zorder=2 * i)
        first = i == 0 or _kinds(count)[i - 1][0] != kind
        axes.plot(
            at,
            base + density / peak,
            color=color,
            linestyle=dashes,
            linewidth=1.3,
            zorder=2 * i + 1,
            label=kind if first else None,
        )
        label = GAUSSIAN if i == 0 else None
        axes.plot(at, base + gaussian[i] / peak, color="black", linewidth=0.6, zorder=2 * i + 1, label=label)
        axes.text(1.02, base, f"{dimension}", transform=axes.get_yaxis_transform(), fontsize=8, ha="right")
        statistic = found["anderson_darling_statistic"][dimension]
        text = f"{found['dimension_rate_nats'][dimension]:.3f}"
        axes.text(1.13, base, text, transform=axes.get_yaxis_transform(), fontsize=8, ha="right")
        text = f"{statistic:.2f}{'*' if statistic > found['anderson_darling_critical'] else '  '}"
        axes.text(1.25, base, text, transform=axes.get_yaxis_transform(), fontsize=8, ha="right")
    top = count * step + 0.3
    for place, text in ((1.02, "$j$"), (1.13, "rate\n(nats)"), (1.25, "A²")):
        axes.text(place, top, text, transform=axes.get_yaxis_transform(), fontsize=8, ha="right", va="bottom")
    axes.set(yticks=[], ylim=(-0.08, top), title=title)
    codes, tested = int(found["density_codes"]), int(found["anderson_darling_codes"])
    axes.set_xlabel(
        f"z$_j$   ({codes:,} codes in each density; A²: Anderson-Darling statistic of {tested:,} codes,\n"
        f"* where it is above {found['anderson_darling_critical']:.3f} and a Gaussian is rejected at 5 %)",
        fontsize=8,
    )
    axes.set_ylabel("density (each scaled to its peak)")
    axes.spines["left"].set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    last = labels.index(GAUSSIAN)
    handles, labels = [[*found[:last], *found[last + 1 :], found[last]] for found in (handles, labels)]
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    return figure
