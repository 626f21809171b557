"""Figure 4 of the Echo paper: each dimension of a code's mean by the factors, a row a dimension.

The form is that of Chen et al., "Isolating Sources of Disentanglement in VAEs", NeurIPS 2018: a heat map over position, curves
over scale and rotation by shape.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from echo_tf.data.catalog import CATALOG, title_of
from echo_tf.figures import style
from echo_tf.figures.panels import label

# what dSprites' values are: of each factor the ticks, as places among its values, and their labels
TICKS = {
    "position": ((0, 31), ("0", "1")),
    "scale": ((0, 2.5, 5), ("0.5", "0.75", "1")),
    "orientation": ((0, 19.5, 39), ("0°", "180°", "360°")),
}
SHAPES = ("square", "ellipse", "heart")
COLORS = (style.BLUE, style.ORANGE, style.GREEN)  # the paper: ellipse orange, square blue, heart green
CURVES = ("scale", "orientation")


def write(material):
    """Draws <dataset>_<run>_factors of every measured run on dSprites; returns the paths of the PNGs."""
    found = [result for result in material.own if result.finished and result.settings.kind == "disentangle"]
    return [write_run(material, result) for result in found if _has_factors(result)]


def _has_factors(result):
    return list(result.record.get("data", {}).get("factors", {})) == list(CATALOG["dsprites"].factors)


def write_run(material, result):
    """Writes results/figures/<study>/<dataset>_<method>_<run>_factors.png, .pdf and .csv; returns the PNG's path."""
    settings, arrays = result.settings.subject, result.arrays("pictures")
    names = list(result.record["data"]["factors"])
    panels = {"position": _of(arrays, names, "y", "x")}
    panels |= {name: _of(arrays, names, "shape", name) for name in CURVES}
    order = np.argsort(-arrays["code_std"], kind="stable")
    rows = [
        {"dimension": int(j), "panel": name, "row": a, "column": b, "mean_code": value}
        for name, values in panels.items()
        for j in order
        for (a, b), value in np.ndenumerate(values[..., j])
    ]
    title = f"{stem_words(settings)}:\nmean code by the factors of {title_of(settings.dataset)}"
    stem = Path(material.results, "figures", material.study, f"{stem_of(settings)}_factors")
    return style.save(style.drawn(_draw, panels, order, arrays, title), stem, {"": pd.DataFrame(rows)})


def stem_of(settings):
    """The beginning of the names of a model's figures."""
    return f"{settings.dataset}_{settings.method}_{settings.run_name}"


def stem_words(settings):
    """What a figure calls a model."""
    words = [label(settings), f"β = {settings.beta:g}"]
    words += [f"γ = {settings.gamma:g}"] if settings.gamma else []
    return ", ".join([*words, f"{settings.ground_truth} factors, preset {settings.preset}, one seed"])


def _of(arrays, names, first, second):
    """The mean code by two factors, (size of the first, of the second, d)."""
    i, j = names.index(first), names.index(second)
    return arrays[f"mean_{i}_{j}"] if i < j else arrays[f"mean_{j}_{i}"].swapaxes(0, 1)


def _draw(panels, order, arrays, title):
    figure = style.new_figure(5.8, 0.9 + 0.82 * len(order))
    axes = figure.subplots(len(order), 3, squeeze=False, width_ratios=[1.2, 1.4, 1.4])
    for i, j in enumerate(order):
        center, reach = float(arrays["code_mean"][j]), 2 * max(float(arrays["code_std"][j]), 1e-12)
        limits = {"vmin": center - reach, "vmax": center + reach}
        image = axes[i, 0].imshow(panels["position"][..., j], cmap="RdBu_r", **limits, interpolation="nearest")
        levels = [center - reach, center, center + reach]
        bar = figure.colorbar(image, ax=axes[i, 0])
        bar.set_ticks(levels, labels=[f"{round(level, 1) + 0.0:.1f}" for level in levels])  # no -0.0
        bar.ax.tick_params(labelsize=6)
        axes[i, 0].set_ylabel(f"$z_{{{j}}}$\nsd {arrays['code_std'][j]:.2g}", rotation=0, ha="right", va="center", fontsize=7)
        for ax, name in zip(axes[i, 1:], CURVES):
            for values, shape, color in zip(panels[name][..., j], SHAPES, COLORS):
                ax.plot(values, color=color, linewidth=1.1, label=shape)
            ax.set(ylim=(center - reach, center + reach), yticks=levels, yticklabels=[])  # the values are at the colour bar
        _set_ticks(axes[i], with_labels=i == len(order) - 1)
    for ax, name in zip(axes[0], ("mean code by position", *CURVES)):
        ax.set_title(name.replace("orientation", "rotation"), fontsize=8)
    handles, labels = axes[0, 1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    figure.suptitle(title, fontsize=8)
    return figure


def _set_ticks(axes, with_labels):
    for ax, (places, labels) in zip(axes, TICKS.values()):
        ax.set_xticks(places, labels if with_labels else [""] * len(places), fontsize=6.5)
        ax.tick_params(labelsize=6.5)
    places, labels = TICKS["position"]
    axes[0].set_yticks(places, labels)
    if with_labels:
        axes[0].set_xlabel("x; y downwards", fontsize=6.5)
