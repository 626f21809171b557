"""Rate-distortion curves by annealed importance sampling (AIS paper, figures 3, 5a, 9 and 10), on one chart for each preset.

Beside them, where there are records: the exact curve, BDMC gaps, the model's own encoder, and bounds of the data's R(D).
"""

import itertools
from pathlib import Path

import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from echo_tf.data.catalog import title_of
from echo_tf.figures import style
from echo_tf.kinds import ais
from echo_tf.tables.annealed_curves import curves, images_of, plain, weights_of

COLORS = (style.BLUE, style.VERMILLION, style.GREEN, style.PURPLE, style.ORANGE, style.SKY, style.BLACK, style.GREY)
DASHES = ("-", (0, (5, 1.5)), (0, (4, 1, 1, 1)), (0, (1, 1)))
DASHES_OF_BOUNDS = ((0, (5, 1.5)), (0, (4, 1, 1, 1)), (0, (1, 1)), (0, (8, 2, 1, 2, 1, 2)), "-")
LABELS = {"sse": "distortion (sum of squared errors per image{})", "nats": "distortion (nats per image)"}
LABELS["feature_sse"] = "distortion (sum of squared errors of features per image)"
RING = {"marker": "o", "markersize": 3, "markerfacecolor": "white", "linestyle": "none"}  # of exact values
LOWEST_RATE = 0.3  # nats; below it, curves are noise on a logarithmic axis


def write(material):
    """Draws <dataset>_<preset>_annealed of each preset and unit of distortion; returns the paths of the PNGs.

    Beside curves of a blurred decoder or another prior stands that of the model as it is, of the same training.
    """

    def of(result):
        return result.settings.model.work(), result.settings.preset, weights_of(result)

    own = [result for result in material.own if result.settings.kind == "ais"]
    models = [of(result) for result in own if result.settings.is_changed and not result.settings.features]
    unchanged = plain(material.every, material.study) if models else []
    beside = [result for result in unchanged if of(result) in models and result not in material.own]
    return charts(material, [*beside, *material.own], "annealed")


def charts(material, own, ending):
    """Draws <dataset>_<preset>_<ending> of the curves of some records; returns the paths of the PNGs."""
    panels = {}
    for curve in curves(own, material.every):
        unit = ais.unit_of(curve.points.iloc[0])
        scale = getattr(curve.settings.model, "pixel_range", None) or (0, 1)
        panels.setdefault((curve.settings.model.dataset, curve.settings.preset, unit, tuple(scale)), []).append(curve)
    paths = []
    for (dataset, preset, unit, scale), found in panels.items():
        measured = {curve.which for curve in found} if (unit, scale) == ("sse", (0, 1)) else set()
        bounds = _bounds_of_the_data(material.every, dataset, preset, measured)
        figure = style.drawn(_draw, found, bounds, _label(unit, scale), f"{title_of(dataset)}, preset {preset}")
        beside = [key for key in panels if key[:2] == (dataset, preset)]
        several = len({key[2] for key in beside}) > 1, len({key[3] for key in beside}) > 1
        apart = [word for word, is_needed in zip((unit, "{:g}to{:g}".format(*scale)), several) if is_needed]
        name = "_".join([dataset, preset, *apart, ending])
        stem = Path(material.results, "figures", material.study, name)
        tables = {"": pd.concat(curve.points.assign(curve=curve.name) for curve in found)}
        gaps = [{"curve": curve.name, **gap} for curve in found for gap in curve.gaps]
        tables |= {"_gaps": pd.DataFrame(gaps)} if gaps else {}
        baselines = [curve.baseline.assign(curve=curve.name) for curve in found if curve.baseline is not None]
        tables |= {"_variational": pd.concat(baselines)} if baselines else {}
        tables |= {"_data": pd.concat(table.assign(bound=name) for name, table in bounds)} if bounds else {}
        paths.append(style.save(figure, stem, tables))
    return paths


def _bounds_of_the_data(every, dataset, preset, measured):
    """[(what, its rows)] of the records of kind `data_bounds` on this dataset, and on the images of a curve."""
    found = [r for r in every if r.settings.kind == "data_bounds" and r.finished and r.settings.dataset == dataset]
    found = [result for result in found if result.settings.preset == preset and images_of(result) in measured]
    return [(name, rows) for result in found for name, rows in pd.DataFrame(result.rows()).groupby("bound", sort=False)]


def _label(unit, scale):
    pixels = f", pixels in [{scale[0]:g}, {scale[1]:g}]" if unit == "sse" else ""
    return LABELS.get(unit, "distortion").format(pixels)


def _draw(found, bounds, label, title):
    exact = any("exact_rate_nats" in curve.points for curve in found)
    drawn_below = [*([_draw_gaps] if any(curve.gaps for curve in found) else []), *([_draw_errors] if exact else [])]
    figure = style.new_figure(6.4, 5.2 + 1.8 * len(drawn_below))
    panels = figure.subplots(1 + len(drawn_below), 1, squeeze=False, height_ratios=[2.5, *[1] * len(drawn_below)])
    above, *below = panels[:, 0]
    above.set_title(title)
    looks = list(zip(found, itertools.cycle(COLORS), itertools.cycle(DASHES)))
    for curve, color, dashes in looks:
        _draw_curve(above, curve, color, dashes, ais.unit_of(curve.points.iloc[0]))
    _draw_baselines(above, looks)
    for (name, rows), dashes in zip(bounds, itertools.cycle(DASHES_OF_BOUNDS)):
        shown = rows[rows["rate_nats"] >= LOWEST_RATE]
        above.plot(shown["distortion_sse"], shown["rate_nats"], color=style.GREY, linestyle=dashes, linewidth=1.1, label=name)
    if not above.has_data():
        above.set(xlim=(0, 1), ylim=(LOWEST_RATE, 10 * LOWEST_RATE))
    above.set(xlabel=label, ylabel="rate (nats per image)", yscale="log")
    handles, labels = above.get_legend_handles_labels()
    legend = dict(zip(labels, handles)) | _meanings(found)  # below everything, where it covers nothing
    figure.legend(legend.values(), legend, loc="outside lower center", ncols=2, frameon=False)
    for axes, draw in zip(below, drawn_below):
        axes.axhline(0, color=style.GREY, linewidth=0.8)
        draw(axes, looks)
    return figure


def _meanings(found):
    """Legend entries of what stands at every curve."""
    meanings = {}
    if any(curve.points["rate_standard_error_nats"].notna().any() for curve in found):
        numbers = " or ".join(f"{number:,}" for number in sorted({curve.images for curve in found}))
        meanings[f"± 2 standard errors over {numbers} images"] = Patch(color=style.GREY, alpha=0.25, linewidth=0)
    if any(curve.gaps for curve in found):
        dot = {"marker": "o", "markersize": 3.5, "linestyle": "none"}
        meanings["BDMC gap measured here (see below)"] = Line2D([], [], color=style.GREY, **dot)
    if any("exact_rate_nats" in curve.points for curve in found):
        meanings["exact"] = Line2D([], [], color=style.GREY, **RING)
    return meanings


def _draw_curve(axes, curve, color, dashes, unit):
    points = curve.points[curve.points["rate_nats"] >= LOWEST_RATE]
    if not len(points):  # a decoder that gives one image alone, say
        name = f"{curve.name}: at most {curve.points['rate_nats'].max():.2f} nats"
        axes.plot([], [], color=color, linestyle=dashes, linewidth=1.4, label=name)
        return
    d, r = points[f"distortion_{unit}"], points["rate_nats"]
    axes.plot(d, r, color=color, linestyle=dashes, linewidth=1.4, label=curve.name)
    spread = 2 * points["rate_standard_error_nats"].fillna(0)
    axes.fill_between(d, (r - spread).clip(lower=LOWEST_RATE), r + spread, color=color, alpha=0.12, linewidth=0)
    if "exact_rate_nats" in points:
        axes.plot(points[f"exact_distortion_{unit}"], points["exact_rate_nats"], color=color, **RING)
    for gap in curve.gaps:
        nearest = curve.points.iloc[(curve.points["beta"] - gap["beta"]).abs().argmin()]
        at = nearest[f"distortion_{unit}"], max(nearest["rate_nats"], LOWEST_RATE)
        axes.plot(*at, "o", color=color, markersize=3.5)
    if curve.encoder:
        at = curve.encoder[f"distortion_{unit}"], curve.encoder["rate_nats"]
        axes.plot(*at, "*", color=color, markersize=9, markeredgecolor="white", label=f"{curve.name}: its encoder")


def _draw_baselines(axes, looks):
    """Encoders trained per beta, once for all curves of the same ones."""
    every = []
    for curve, color, _ in looks:
        if curve.baseline is None:
            continue
        same = next((one for one in every if one[0].equals(curve.baseline)), None)
        if same is None:
            every.append([curve.baseline, color, curve.name])
        else:
            same[1:] = style.BLACK, curve.name.partition(",")[0]
    for baseline, color, name in every:
        shown = baseline[baseline["rate_nats"] >= LOWEST_RATE]
        look = {"color": color, "linestyle": (0, (1, 2)), "marker": "x", "markersize": 4, "linewidth": 0.9}
        axes.plot(shown["distortion_sse"], shown["rate_nats"], **look, label=f"{name}: encoders trained per β")


def _draw_gaps(axes, looks):
    looks = [look for look in looks if look[0].gaps]
    betas = {gap["beta"] for curve, *_ in looks for gap in curve.gaps}
    for i, (curve, color, _) in enumerate(looks):
        gaps = pd.DataFrame(curve.gaps)
        # bars at one beta stand beside each other
        at = gaps["beta"] * 1.06 ** (i - (len(looks) - 1) / 2) if len(betas) > 1 else [i] * len(gaps)
        bars = {"fmt": "o", "markersize": 3.5, "elinewidth": 1}
        axes.errorbar(at, gaps["gap_nats"], 2 * gaps["gap_standard_error_nats"], color=color, **bars)
    axes.set(ylabel="BDMC gap (nats)\n± 2 standard errors")
    if len(betas) > 1:
        axes.set(xscale="log", xlabel="β")
    else:
        axes.set_xticks(range(len(looks)), [curve.name for curve, *_ in looks])
        axes.set(xlabel=f"at β = {betas.pop():g}", xlim=(-0.5, len(looks) - 0.5))


def _draw_errors(axes, looks):
    for curve, color, dashes in looks:
        if "exact_rate_nats" in curve.points:
            error = curve.points["neg_log_z_nats"] - curve.points["exact_neg_log_z_nats"]
            axes.plot(curve.points["beta"], error, color=color, linestyle=dashes, linewidth=1.3)
    axes.set(ylabel="error of −log Z (nats)", xscale="log", xlabel="β")
