"""Figures 2, 3 and 5 of the Echo paper: rate-distortion curves, and reconstructions at similar rates."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.collections import LineCollection
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox

from echo_tf.data.catalog import title_of
from echo_tf.figures import style
from echo_tf.figures.panels import labelled, labels, panels
from echo_tf.kinds.autoencoder import METRICS
from echo_tf.methods import METHODS
from echo_tf.runs import records
from echo_tf.tables import summary

IMAGES_SHOWN = 7  # at each of several rates; 10 at a single one
NUM_TARGETS = 3  # low, middle and high rate
SIMILAR = 1.15  # the largest ratio of rates at which images are compared
LABELS_PER_CURVE = 6  # values of beta written beside a curve
LABEL_PLACES = ((-4, -3), (4, 3), (4, -3), (-4, 3), (-4, -11), (4, 11), (4, -11), (-4, 11), (-14, -3), (14, 3))  # points


def write(material):
    """Draws <dataset>_<preset>_rate_distortion where there is more than one point; returns the paths of the PNGs."""
    paths = []
    for dataset, preset, groups in panels(material):
        # a point needs a distortion in nats: what has no likelihood has a table
        groups = [group for group in groups if "neg_elbo_nats" in group[0].rows()[0]]
        if _makes_curves([group[0].settings for group in groups]):
            paths.append(write_panel(material, dataset, preset, groups))
    return paths


def _makes_curves(found):
    """Whether these are more than one point, and not the variants of one: those have their table."""
    of_variants = all(settings.variant for settings in found)
    return len({settings.beta for settings in found} if of_variants else found) > 1


def points_of(groups):
    """A row for each configuration, the mean over its runs.

    Args:
        groups: lists of results, one a configuration (`records.by_law`), of one dataset and preset.

    Returns:
        A DataFrame, by method and rate; results/COLUMNS.md defines its columns.
    """
    rows = []
    for group, label in zip(groups, labels([group[0].settings for group in groups])):
        settings, kept = group[0].settings, summary.averaged(group)[list(METRICS)]
        spread = kept.std(ddof=1) if len(kept) > 1 else kept.iloc[0] * np.nan
        rows.append(
            {
                **{key: getattr(settings, key) for key in ("dataset", "preset", "method")},
                "series": label,
                "beta": settings.beta,
                "runs": len(group),
                "runs_averaged": len(kept),
                **kept.mean().to_dict(),
                **{name.replace("_nats", "_std_over_seeds_nats"): spread[name] for name in METRICS},
                "rate_floor_nats": group[0].rows()[0]["rate_floor_nats"],
            }
        )
    table = pd.DataFrame(rows).astype({"rate_floor_nats": float})
    hull = lower_hull(table[["rate_nats", "distortion_nats"]].to_numpy())
    table["on_lower_hull"] = table.index.isin(hull)
    place = {name: i for i, name in enumerate(METHODS)}
    keys = {"method": lambda column: column.map(place)}
    return table.sort_values(
        ["method", "series", "rate_nats"], key=lambda c: keys.get(c.name, lambda x: x)(c), ignore_index=True
    )


def lower_hull(points):
    """Which points (n, 2) of (rate, distortion) lie on the lower convex hull, by rising rate and falling distortion.

    Between two of them any point can be had by using one code for some images and the other for the rest.
    """
    kept = []
    for i in np.lexsort((points[:, 1], points[:, 0])):
        if kept and points[i, 1] >= points[kept[-1], 1]:
            continue  # another point has no more rate and no more distortion
        while len(kept) > 1 and _turns_right(points[kept[-2]], points[kept[-1]], points[i]):
            kept.pop()
        kept.append(int(i))
    return kept


def at_similar_rates(found, num_targets=NUM_TARGETS):
    """Groups of runs of different series, whose rates lie within 15 % of each other.

    A series is of a method, and of all that tells its configurations apart but beta and seed (`panels.labels`).

    Args:
        found: results of one dataset and preset.
        num_targets: the largest number of groups: those nearest to so many rates from the lowest to the highest of the range
            common to the series, or of all runs where there is no such range. Of each, the group of most series is taken.

    Returns:
        (mean rates of the groups in nats, {series: [its result in each group, or None]}), methods in the order of Table 1;
        a series that is in no group is left out. No groups where no two have similar rates (or there is one).
    """
    series = {}
    for label, result in labelled(found):
        series.setdefault(label, []).append(result)
    groups = [_within(series, _rate(result)) for result in found]
    groups = [group for group in groups if len(group) >= min(2, len(series))]
    rates = [[_rate(result) for result in runs] for runs in series.values()]
    low, high = max(map(min, rates)), min(map(max, rates))
    if high <= low:
        low, high = min(map(min, rates)), max(map(max, rates))
    chosen = {}
    for target in np.linspace(low, high, num_targets) if groups else ():
        # the largest of those about as near to the target, within steps of a factor of 1.4 (one nat more, as rates may be 0)
        steps = [round(abs(np.log((_mean_rate(group) + 1) / (target + 1))) / 0.35) for group in groups]
        best = min(zip(steps, groups), key=lambda pair: (pair[0], -len(pair[1])))[1]
        chosen.setdefault(round(_mean_rate(best), 6), best)
    targets = sorted(chosen)
    in_groups = [name for name in series if any(name in group for group in chosen.values())]
    return np.array(targets), {name: [chosen[target].get(name) for target in targets] for name in in_groups}


def _within(series, lowest):
    """{series: its run with the lowest rate from `lowest` on}, where that is within 15 %."""
    group = {}
    for name, runs in series.items():
        near = [result for result in runs if lowest <= _rate(result) <= SIMILAR * lowest]
        if near:
            group[name] = min(near, key=_rate)
    return group


def _mean_rate(group):
    return float(np.mean([_rate(result) for result in group.values()]))


def write_panel(material, dataset, preset, groups):
    """Writes results/figures/<study>/<dataset>_<preset>_rate_distortion.png, .pdf, .csv and, for the images shown,
    _reconstructions.csv; returns the PNG's path."""
    points = points_of(groups)
    targets, chosen = at_similar_rates([result for group in groups for result in group if "examples" in result.record])
    shown = pd.DataFrame(
        {
            "target_rate_nats": target,
            "method": result.settings.method,
            "series": label,
            **{key: getattr(result.settings, key) for key in ("beta", "seed")},
            **{name: result.rows()[0][name] for name in METRICS},
        }
        for label, runs in chosen.items()
        for target, result in zip(targets, runs)
        if result is not None
    )
    figure = style.drawn(_draw, points, targets, chosen, f"{title_of(dataset)}, preset {preset}{_trained(groups)}")
    stem = Path(material.results, "figures", material.study, f"{dataset}_{preset}_rate_distortion")
    return style.save(figure, stem, {"": points, "_reconstructions": shown})


def _trained(groups):
    """How long the runs were trained, where that is the same for all."""
    amounts = {group[0].settings.amount for group in groups}
    return " ({:,} {})".format(*amounts.pop()) if len(amounts) == 1 else ""


def _rate(result):
    return result.rows()[0]["rate_nats"]


def _turns_right(a, b, c):
    """Whether b lies on or above the line from a to c."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]) <= 0


def _draw(points, targets, chosen, title):
    rows = len(chosen) + 1
    width, height = 7.2, 4.9
    if not len(targets):
        figure = style.new_figure(width, height)
        figure.suptitle(title, fontsize=10)
        _draw_curves(figure.subplots(), points)
        return figure
    images = IMAGES_SHOWN if len(targets) > 1 else 10
    across = len(targets) * (images + 0.4) + 0.2
    cell = min(0.36, (width - 1.1) / across)  # inches of an image, labels beside
    figure = style.new_figure(width, height + rows * cell * 1.1 + 0.35)
    above, below = figure.subfigures(2, 1, height_ratios=[height, rows * cell * 1.1 + 0.35])
    above.suptitle(title, fontsize=10)
    _draw_curves(above.subplots(), points)
    for i, (panel, target) in enumerate(zip(below.subplots(1, len(targets), squeeze=False)[0], targets)):
        runs = {label: found[i] for label, found in chosen.items()}
        _draw_reconstructions(panel, runs, target, images, names=i == 0)
    return figure


def _draw_curves(axes, points):
    hull = points[points["on_lower_hull"]].sort_values("rate_nats")
    if len(hull) > 1:
        axes.plot(
            hull["rate_nats"], hull["distortion_nats"], color="#CFCFCF", linewidth=6, solid_capstyle="round", label="lower hull"
        )
    seen = {}
    for (method, series), rows in points.groupby(["method", "series"], sort=False):
        color, marker, dashes = style.style_of(method)
        hollow = seen.setdefault(method, 0) > 0  # a further curve of the method
        seen[method] += 1
        axes.errorbar(
            rows["rate_nats"],
            rows["distortion_nats"],
            xerr=rows["rate_std_over_seeds_nats"],
            yerr=rows["distortion_std_over_seeds_nats"],
            color=color,
            marker=marker,
            linestyle=dashes if len(rows) > 1 else "none",
            linewidth=1.3,
            markersize=5.5,
            markerfacecolor="white" if hollow else color,
            markeredgecolor="#333333" if color == style.YELLOW else color,
            markeredgewidth=0.8,
            elinewidth=0.8,
            capsize=2,
            label=series,
        )
    lowest, highest = points["rate_nats"].min(), points["rate_nats"].max()
    for floor in sorted(set(points["rate_floor_nats"].dropna().round(6))):
        if lowest - floor > highest - lowest:
            continue  # far from all points: it would squeeze them into a corner
        color = style.style_of("echo")[0]
        axes.axvline(floor, color=color, linestyle="--", linewidth=0.9, label=f"lowest rate of Echo ({floor:.2f} nats)")
    _draw_bounds(axes)
    axes.set(xlabel="rate (nats per image)", ylabel="distortion (nats per image)")
    handles, labels = axes.get_legend_handles_labels()
    # methods first, and without the error bars' caps
    methods = [(handle[0], label) for handle, label in zip(handles, labels) if hasattr(handle, "lines")]
    others = [(handle, label) for handle, label in zip(handles, labels) if not hasattr(handle, "lines")]
    # above the axes, where it covers nothing
    axes.legend(*zip(*methods, *others), loc="lower left", bbox_to_anchor=(0, 1), frameon=False, ncols=3, borderaxespad=0.2)
    _write_betas(axes, points)


def _draw_bounds(axes):
    """Contours of constant -ELBO, distortion = c - rate, within the limits that the points have set."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    axes.set(xlim=(left, right), ylim=(bottom, top))
    levels = MaxNLocator(12, steps=[1, 2, 2.5, 5, 10]).tick_values(left + bottom, right + top)
    ends = [[(left, level - left), (right, level - right)] for level in levels]
    axes.add_collection(LineCollection(ends, colors="#9A9A9A", linewidths=0.5, zorder=0), autolim=False)
    for level in levels:
        start, end = max(left, level - top), min(right, level - bottom)
        at_start = start < left + 0.4 * (right - left)
        rate = start + 0.012 * (right - left) if at_start else end - 0.012 * (right - left)
        if end - start > 0.1 * (right - left):
            axes.annotate(
                f"−ELBO {level:g}",
                (rate, level - rate),
                rotation=-45,
                rotation_mode="anchor",
                transform_rotates_text=True,
                fontsize=6.5,
                color="#666666",
                ha="left" if at_start else "right",
                va="bottom",
                clip_on=True,
            )


def _write_betas(axes, points):
    """Values of beta beside the points of every curve, each in the first place near its point that is still free."""
    root = axes.get_figure(root=True)
    root.draw_without_rendering()
    scale, renderer = root.dpi / 72, root.canvas.get_renderer()
    at = axes.transData.transform(points[["rate_nats", "distortion_nats"]].to_numpy())
    taken = [Bbox.from_extents(*(xy - 3 * scale), *(xy + 3 * scale)) for xy in at]
    taken += [text.get_window_extent(renderer) for text in axes.texts]
    for (method, _), rows in points.groupby(["method", "series"], sort=False):
        color = style.style_of(method)[0]
        for i in np.unique(np.linspace(0, len(rows) - 1, LABELS_PER_CURVE).round().astype(int)):
            row = rows.iloc[i]
            text = axes.annotate(
                f"β={row['beta']:g}",
                (row["rate_nats"], row["distortion_nats"]),
                textcoords="offset points",
                xytext=LABEL_PLACES[0],
                fontsize=6.5,
                color="#333333" if color == style.YELLOW else color,
            )
            text.set_in_layout(False)
            taken.append(_placed(text, taken, renderer))


def _placed(text, taken, renderer):
    """Moves a label to the first of its places that covers least, and returns what it then covers."""
    boxes = []
    for place in LABEL_PLACES:
        _put(text, place)
        boxes.append(text.get_window_extent(renderer))
    best = int(np.argmin([sum(box.overlaps(other) for other in taken) for box in boxes]))
    _put(text, LABEL_PLACES[best])
    return boxes[best]


def _put(text, place):
    x, y = place
    text.set(position=place, ha="right" if x < 0 else "left", va="top" if y < 0 else "bottom")


def _draw_reconstructions(axes, runs, target, columns, names):
    """Test images, and under them the averaged reconstructions of one run of each series, with its rate and beta; nothing
    for a series that has no run of about this rate (None)."""
    first = next(result for result in runs.values() if result is not None)
    images = [records.unpack_images(first.record["examples"]["images"])]
    for result in runs.values():
        nothing = np.full_like(images[0], np.nan)
        images.append(nothing if result is None else records.unpack_images(result.record["examples"]["reconstructions"]))
    labels = ["test images", *runs] if names else [""] * len(images)
    style.show_images(axes, images, labels, min(columns, len(images[0])))
    axes.tick_params(labelsize=7.5)
    axes.set_title(f"near {target:.1f} nats", fontsize=8.5)
    height = images[0].shape[1] + max(1, images[0].shape[1] // 14)
    for i, result in enumerate(runs.values(), 1):
        if result is None:
            continue
        axes.text(
            axes.get_xlim()[1],
            height * i + height * 0.46,
            f" {_rate(result):.1f}\n β={result.settings.beta:g}",
            fontsize=5.5,
            va="center",
            linespacing=0.95,
        )
