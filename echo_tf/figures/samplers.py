"""What a gradient buys: the error of -log Z against exact values by the number of gradients, for each sampler (ours)."""

from pathlib import Path

import numpy as np
import pandas as pd

from echo_tf.figures import style
from echo_tf.tables.annealed_curves import parts_of_curves

NUM_BETAS = 100  # over which errors are averaged
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
    table = errors(parts_of_curves(material.own))
    stems = [(preset, Path(material.results, "figures", material.study, f"{preset}_samplers")) for preset in _presets(table)]
    return [
        style.save(style.drawn(_draw, table[table["preset"] == preset], preset), stem, {"": table[table["preset"] == preset]})
        for preset, stem in stems
    ]


def errors(found):
    """A row a curve with exact values: its model, its sampler (the label up to the last _), gradients of the formal round for
    each chain, and |error| of -log Z in nats: averaged over the same betas for all samplers, of the median image and of the
    worst, whose chains may all have missed the best mode."""
    kept = []
    for name, parts in found:
        settings, arrays = parts[0].settings, [part.arrays("images") for part in parts]
        if settings.label and all("exact_log_z" in one for one in arrays):
            kept.append((name.partition(",")[0], settings, arrays))
    grids = {
        key: _common_betas([arrays for *of, arrays in kept if _panel(*of) == key]) for key in {_panel(*of) for *of, _ in kept}
    }
    rows = []
    for model, settings, arrays in kept:
        betas = grids[_panel(model, settings)]
        of_images = np.concatenate([_mean_errors(one, betas) for one in arrays])
        rows.append(
            {
                "preset": settings.preset,
                "model": model,
                "sampler": settings.label.rpartition("_")[0].replace("_", " "),
                "gradients": (settings.num_temperatures - 1) * (settings.leapfrog_steps + (settings.transition == "tfp_hmc")),
                "lowest_beta": betas[0],
                "highest_beta": betas[-1],
                "median_image_error_nats": np.median(of_images),
                "worst_image_error_nats": of_images.max(),
                "images": len(of_images),
            }
        )
    return pd.DataFrame(rows)


def _panel(model, settings):
    return settings.preset, model


def _common_betas(every):
    """NUM_BETAS inverse temperatures at equal factors, where all curves have values."""
    lowest = max(one["betas"][one["betas"] > 0].min() for arrays in every for one in arrays)
    highest = min(one["betas"].max() for arrays in every for one in arrays)
    return np.geomspace(lowest, highest, NUM_BETAS)


def _mean_errors(arrays, betas):
    """(n,) of each image the mean |error| of log Z over `betas`, linear in log beta between a curve's own points."""
    own = arrays["betas"] > 0
    found = (arrays["log_z"] - arrays["exact_log_z"])[own].T
    return np.array([np.abs(np.interp(np.log(betas), np.log(arrays["betas"][own]), errors)).mean() for errors in found])


def _presets(table):
    return list(dict.fromkeys(table["preset"])) if len(table) else []


def _draw(table, preset):
    models = list(dict.fromkeys(table["model"]))
    by_error = table.groupby("sampler")["median_image_error_nats"].mean()
    samplers = list(by_error.sort_values(ascending=False).index)
    figure = style.new_figure(3.4 * len(models) + 1.6, 5.6)
    figure.suptitle(f"|error| of −log Z, mean over log β (nats), preset {preset}, one seed each")
    grid = figure.subplots(2, len(models), squeeze=False, sharex=True)
    for line, of_image in zip(grid, ("median", "worst")):
        for axes, model in zip(line, models):
            for sampler, (color, marker, dashes) in zip(samplers, STYLES * len(samplers)):
                rows = table[(table["model"] == model) & (table["sampler"] == sampler)].sort_values("gradients")
                look = {"color": color, "marker": marker, "linestyle": dashes, "markersize": 4, "label": sampler}
                axes.plot(rows["gradients"], rows[f"{of_image}_image_error_nats"], **look)
            axes.set(xscale="log", yscale="log")
        line[0].set_ylabel(f"{of_image} image")
    for above, below, model in zip(*grid, models):
        above.set_title(model)
        below.set_xlabel("gradients of a chain")
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside right center", frameon=False)
    return figure
