"""Figures 2, 3 and 5 of the Echo paper: rate-distortion curves, and reconstructions at similar rates."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.collections import LineCollection
from matplotlib.ticker import MaxNLocator

from echo_tf.data.catalog import title_of
from echo_tf.figures import style
from echo_tf.figures.panels import labelled, labels, panels
from echo_tf.kinds.autoencoder import METRICS
from echo_tf.methods import METHODS
from echo_tf.runs import records
from echo_tf.tables import summary

IMAGES_SHOWN = 7  # at each of several rates; 10 at a single one
OVER_IMAGES = ("rate_standard_error_over_images_nats", "distortion_standard_error_over_images_nats")  # of the first run
NUM_TARGETS = 3  # low, middle and high rate
SIMILAR = 1.15  # the largest ratio of rates at which images are compared
LABELS_PER_CURVE = 6  # values of beta written beside a curve
DIRECTIONS = tuple((np.cos(a), np.sin(a)) for a in np.pi * (np.arange(16) / 8 + 1.25))  # of a label from its point
DISTANCES = (5, 11, 18)  # points
COLLAPSED = 0.05  # of the median rate: below it a run carries nothing, and does not set the scale for those that do


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
                **{name: group[0].rows()[0].get(name) for name in OVER_IMAGES},
                "rate_floor_nats": group[0].rows()[0]["rate_floor_nats"],
            }
        )
    table = pd.DataFrame(rows).astype(dict.fromkeys(("rate_floor_nats", *OVER_IMAGES), float))
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
    title = f"{title_of(dataset)}, preset {preset} ({', '.join(filter(None, [_trained(groups), *_said(points)]))})"
    figure = style.drawn(_draw, points, targets, chosen, title)
    stem = Path(material.results, "figures", material.study, f"{dataset}_{preset}_rate_distortion")
    return style.save(figure, stem, {"": points, **({} if shown.empty else {"_reconstructions": shown})})


def _trained(groups):
    """How long the runs were trained, where that is the same for all."""
    amounts = {group[0].settings.amount for group in groups}
    return "{:,} {}".format(*amounts.pop()) if len(amounts) == 1 else ""


def _said(points):
    """What holds for all points: beta, how many runs each is the mean of, and what the bars are."""
    betas, numbers = set(points["beta"]), set(points["runs_averaged"])
    said = [f"β = {betas.pop():g}"] if len(betas) == 1 else []
    said += [style.of_seeds(numbers.pop())] if len(numbers) == 1 else []
    if points["runs_averaged"].max() > 1:
        return [*said, "bars: ± SD over seeds"]
    return [*said, "bars: ± 2 SE over images"] if points[list(OVER_IMAGES)].notna().any(axis=None) else said


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
        _draw_curves(figure, figure.subplots(), points)
        return figure
    images = IMAGES_SHOWN if len(targets) > 1 else 10
    across = len(targets) * (images + 0.4) + 0.2
    cell = min(0.36, (width - 1.8) / across)  # inches of an image, labels beside
    figure = style.new_figure(width, height + rows * cell * 1.1 + 0.35)
    above, below = figure.subfigures(2, 1, height_ratios=[height, rows * cell * 1.1 + 0.35])
    above.suptitle(title, fontsize=10)
    _draw_curves(figure, above.subplots(), points)
    for i, (panel, target) in enumerate(zip(below.subplots(1, len(targets), squeeze=False)[0], targets)):
        runs = {label: found[i] for label, found in chosen.items()}
        _draw_reconstructions(panel, runs, target, images, names=i == 0)
    return figure


def _draw_curves(figure, axes, points):
    is_shown = points["rate_nats"] >= COLLAPSED * points["rate_nats"].median()
    shown, looks = points[is_shown], _looks(points)
    several_numbers = points["runs_averaged"].nunique() > 1
    for (method, series), rows in shown.groupby(["method", "series"], sort=False):
        xerr, yerr = _bars(rows, over_seeds=points["runs_averaged"].max() > 1)
        dashes = style.style_of(method)[2]
        label = f"{series} ({style.of_seeds(rows['runs_averaged'].max())})" if several_numbers else series
        look = {**looks[series], "linestyle": dashes if len(rows) > 1 else "none", "linewidth": 1.3, "label": label}
        bars = {"elinewidth": 0.8, "capsize": 2}
        axes.errorbar(rows["rate_nats"], rows["distortion_nats"], xerr=xerr, yerr=yerr, **look, **bars)
    _draw_floors(axes, shown, looks)
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    hull = points[points["on_lower_hull"]].sort_values("rate_nats")
    if len(hull) > 1:
        look = {"color": "#CFCFCF", "linewidth": 6, "solid_capstyle": "round", "zorder": 0.5}
        axes.plot(hull["rate_nats"], hull["distortion_nats"], **look, label="lower hull")
    axes.set(xlim=(left, right), ylim=(bottom, top))
    _draw_bounds(axes)
    outside = [f"{row.series}: {row.rate_nats:.1f}, {row.distortion_nats:.1f}" for row in points[~is_shown].itertuples()]
    beyond = f"\ncollapsed, beyond the upper left corner: {'; '.join(outside)}" if outside else ""
    axes.set(xlabel=f"rate (nats per image){beyond}", ylabel="distortion (nats per image)")
    handles, labels = axes.get_legend_handles_labels()
    # methods first, and without the error bars' caps
    methods = [(handle[0], label) for handle, label in zip(handles, labels) if hasattr(handle, "lines")]
    others = [(handle, label) for handle, label in zip(handles, labels) if not hasattr(handle, "lines")]
    columns = 2 if max(map(len, labels)) > 28 else 3
    # above the axes, where it covers nothing
    place = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.2}
    axes.legend(*zip(*methods, *others), **place, frameon=False, ncols=columns)
    if points["beta"].nunique() > 1:
        _write_betas(figure, axes, shown)


def _looks(points):
    """{series: colour and marker}: no two curves of a method have the same."""
    looks, seen = {}, {}
    for method, series in points[["method", "series"]].drop_duplicates().itertuples(index=False):
        place = seen[method] = seen.get(method, -1) + 1
        color, (marker, is_hollow) = style.style_of(method)[0], style.marker_of(method, place)
        face, edge = "white" if is_hollow else color, "#333333" if color == style.YELLOW else color
        look = {"markersize": 5.5, "markerfacecolor": face, "markeredgecolor": edge, "markeredgewidth": 0.8}
        looks[series] = {"color": color, "marker": marker, **look}
    return looks


def _bars(rows, over_seeds):
    """Of rate and of distortion: the standard deviation over seeds, or where no point has several two standard errors over
    images."""
    if over_seeds:
        return rows["rate_std_over_seeds_nats"], rows["distortion_std_over_seeds_nats"]
    return [2 * rows[name] for name in OVER_IMAGES]


def _draw_floors(axes, points, looks):
    """The lowest rates that Echo's channels can have, each with the marker of its curve where they differ."""
    lowest, highest = points["rate_nats"].min(), points["rate_nats"].max()
    floors = points.dropna(subset="rate_floor_nats").round({"rate_floor_nats": 6})
    # one far from all points would squeeze them into a corner
    floors = floors[lowest - floors["rate_floor_nats"] <= highest - lowest].drop_duplicates("series")
    color, of_several = style.style_of("echo")[0], floors["rate_floor_nats"].nunique() > 1
    for i, (floor, rows) in enumerate(floors.groupby("rate_floor_nats")):
        said = "lowest rate of Echo" + (", marked as its curve" if of_several else f" ({floor:.2f} nats)")
        axes.axvline(floor, color=color, linestyle="--", linewidth=0.9, label=None if i else said)
        for j, series in enumerate(rows["series"] if of_several else ()):
            at, up = floor, 0.94 - 0.06 * j
            axes.plot(at, up, **{**looks[series], "linestyle": "none"}, transform=axes.get_xaxis_transform())


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


def _write_betas(figure, axes, points):
    """Values of beta beside the points of every curve, each where it covers least."""
    figure.draw_without_rendering()
    scale, renderer = figure.dpi / 72, figure.canvas.get_renderer()
    at = axes.transData.transform(points[["rate_nats", "distortion_nats"]].to_numpy())
    taken = [np.concatenate([at - 4 * scale, at + 4 * scale], axis=1)]  # boxes: left, bottom, right, top
    taken += [text.get_window_extent(renderer).extents[None] for text in axes.texts]
    for _, rows in points.groupby("series", sort=False):  # what a line covers, in small steps
        line = axes.transData.transform(rows[["rate_nats", "distortion_nats"]].to_numpy())
        for start, end in zip(line[:-1], line[1:]):
            steps = np.linspace(start, end, 2 + int(np.hypot(*(end - start)) / (4 * scale)))
            taken.append(np.concatenate([steps - scale, steps + scale], axis=1))
    for (method, _), rows in points.groupby(["method", "series"], sort=False):
        color = style.style_of(method)[0]
        for i in np.unique(np.linspace(0, len(rows) - 1, LABELS_PER_CURVE).round().astype(int)):
            row = rows.iloc[i]
            text = axes.annotate(
                f"β={row['beta']:g}",
                (row["rate_nats"], row["distortion_nats"]),
                textcoords="offset points",
                xytext=(0, 0),
                fontsize=6.5,
                color="#333333" if color == style.YELLOW else color,
            )
            text.set_in_layout(False)
            taken.append(_placed(text, np.concatenate(taken), axes.bbox.extents, renderer)[None])


def _placed(text, taken, within, renderer):
    """Moves a label to the place near its point where it covers least of the boxes `taken` (n, 4) and stays within the axes,
    and returns the box that it then covers."""
    places = [(r * x, r * y) for r in DISTANCES for x, y in DIRECTIONS]
    boxes = []
    for place in places:
        _put(text, place)
        boxes.append(text.get_window_extent(renderer).extents)
    covered = [_common(box, taken).sum() + 10 * (_common(box, box) - _common(box, within)) for box in boxes]
    best = int(np.argmin(covered))
    _put(text, places[best])
    return boxes[best]


def _common(box, others):
    """The area that a box has in common with others (..., 4)."""
    sides = np.minimum(box[2:], others[..., 2:]) - np.maximum(box[:2], others[..., :2])
    return np.prod(np.maximum(sides, 0), axis=-1)


def _put(text, place):
    x, y = place
    across = "left" if x > 1 else "right" if x < -1 else "center"
    text.set(position=place, ha=across, va="bottom" if y > 1 else "top" if y < -1 else "center")


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
