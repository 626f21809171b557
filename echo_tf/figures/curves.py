"""Figures 2, 3 and 5 of the Echo paper: rate-distortion curves, and reconstructions at similar rates."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.collections import LineCollection
from matplotlib.ticker import MaxNLocator

from echo_tf import records, tables
from echo_tf.data.catalog import title_of
from echo_tf.evaluation import METRICS
from echo_tf.figures import style
from echo_tf.methods import METHODS

IMAGES_SHOWN = 7  # at each of several rates; 10 at a single one
NUM_TARGETS = 3  # low, middle and high rate
LABELS_PER_CURVE = 6  # values of beta written beside Echo's curve


def points_of(groups):
    """A row for each configuration, the mean over its runs.

    Args:
        groups: lists of records, one a configuration (`records.by_configuration`), of one dataset and preset.

    Returns:
        A DataFrame, by method and rate; results/README.md defines its columns.
    """
    labels = _series([group[0]["config"] for group in groups])
    rows = []
    for group, label in zip(groups, labels):
        config, kept = group[0]["config"], tables.averaged(group)
        spread = kept.std(ddof=1) if len(kept) > 1 else kept.iloc[0] * np.nan
        rows.append(
            {
                **{key: config[key] for key in ("dataset", "preset", "method")},
                "series": label,
                "beta": config["beta"],
                "runs": len(group),
                "runs_averaged": len(kept),
                **kept.mean().to_dict(),
                **{name.replace("_nats", "_std_over_seeds_nats"): spread[name] for name in METRICS},
                "rate_floor_nats": group[0]["test"]["rate_floor_nats"],
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
    """For each method, the runs nearest to a few rates that all methods reach.

    Args:
        found: records of one dataset and preset.
        num_targets: number of rates, from the lowest to the highest of the range common to the methods. Where
            there is no such range (a method with one run), one rate, in the middle of the gap.

    Returns:
        (target rates in nats, {method: [record for each target]}), methods in the order of Table 1.
    """
    methods = {}
    for record in found:
        methods.setdefault(record["config"]["method"], []).append(record)
    rates = {method: [_rate(record) for record in runs] for method, runs in methods.items()}
    low, high = max(map(min, rates.values())), min(map(max, rates.values()))
    targets = np.linspace(low, high, num_targets) if high > low else np.array([(low + high) / 2])
    order = {name: i for i, name in enumerate(METHODS)}
    return targets, {
        method: [methods[method][int(np.argmin(np.abs(np.array(rates[method]) - target)))] for target in targets]
        for method in sorted(methods, key=lambda name: order.get(name, len(order)))
    }


def write(results, study, dataset, preset, groups):
    """Writes results/figures/<study>/<dataset>_<preset>_rate_distortion.png, .pdf, .csv and, for the images shown,
    _reconstructions.csv; returns the PNG's path."""
    points = points_of(groups)
    targets, chosen = at_similar_rates([record for group in groups for record in group])
    shown = pd.DataFrame(
        {
            "target_rate_nats": target,
            **{key: record["config"][key] for key in ("method", "beta", "seed")},
            **{name: record["test"]["metrics"][name]["mean"] for name in METRICS},
        }
        for method_runs in chosen.values()
        for target, record in zip(targets, method_runs)
    )
    figure = style.drawn(_draw, points, targets, chosen, f"{title_of(dataset)}, preset {preset}")
    stem = Path(results, "figures", study, f"{dataset}_{preset}_rate_distortion")
    return style.save(figure, stem, {"": points, "_reconstructions": shown})


def _rate(record):
    return record["test"]["metrics"]["rate_nats"]["mean"]


def _turns_right(a, b, c):
    """Whether b lies on or above the line from a to c."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]) <= 0


def _series(configs):
    """What to call each configuration's curve: its method, and what tells it from other curves of the method."""
    labels = []
    for config in configs:
        of_method = [other for other in configs if other["method"] == config["method"]]
        named = config.get("variant")  # stands for all of its settings
        apart = [named] if named else records.set_apart(config, of_method, ("beta",))
        labels.append(", ".join([style.label_of(config["method"]), *apart]))
    return labels


def _draw(points, targets, chosen, title):
    rows = len(chosen) + 1
    width = 7.2
    images = IMAGES_SHOWN if len(targets) > 1 else 10
    across = len(targets) * (images + 0.4) + 0.2
    cell = min(0.36, (width - 1.1) / across)  # inches of an image, labels beside
    figure = style.new_figure(width, 4.4 + rows * cell * 1.1 + 0.35)
    above, below = figure.subfigures(2, 1, height_ratios=[4.4, rows * cell * 1.1 + 0.35])
    axes = above.subplots()
    _draw_curves(axes, points)
    axes.set_title(title)
    for i, (panel, target) in enumerate(zip(below.subplots(1, len(targets), squeeze=False)[0], targets)):
        runs = {method: found[i] for method, found in chosen.items()}
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
    _write_betas(axes, points)
    axes.set(xlabel="rate (nats per image)", ylabel="distortion (nats per image)")
    handles, labels = axes.get_legend_handles_labels()
    # methods first, and without the error bars' caps
    methods = [(handle[0], label) for handle, label in zip(handles, labels) if hasattr(handle, "lines")]
    others = [(handle, label) for handle, label in zip(handles, labels) if not hasattr(handle, "lines")]
    axes.legend(*zip(*methods, *others), loc="best", framealpha=1, edgecolor="none", ncols=1 + (len(labels) > 7))


def _draw_bounds(axes):
    """Contours of constant -ELBO, distortion = c - rate, within the limits that the points have set."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    axes.set(xlim=(left, right), ylim=(bottom, top))
    levels = MaxNLocator(12, steps=[1, 2, 2.5, 5, 10]).tick_values(left + bottom, right + top)
    # a collection and no lines: the legend need not keep clear of it
    ends = [[(left, level - left), (right, level - right)] for level in levels]
    axes.add_collection(LineCollection(ends, colors="#9A9A9A", linewidths=0.5, zorder=0), autolim=False)
    for level in levels:
        start, end = max(left, level - top), min(right, level - bottom)
        at_start = start < left + 0.4 * (right - left)  # the legend covers the others' beginnings
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
    """Some values of beta, below the curve with most points on the lower hull: there is nothing below it."""
    on_hull = points.groupby("series", sort=False)["on_lower_hull"].sum()
    lowest = points[points["series"] == on_hull.idxmax()]
    color = style.style_of(lowest["method"].iloc[0])[0]
    for i in np.unique(np.linspace(0, len(lowest) - 1, LABELS_PER_CURVE).round().astype(int)):
        row = lowest.iloc[i]
        axes.annotate(
            f"β={row['beta']:g}",
            (row["rate_nats"], row["distortion_nats"]),
            textcoords="offset points",
            xytext=(-5, -4),
            ha="right",
            va="top",
            fontsize=7,
            color="#333333" if color == style.YELLOW else color,
        )


def _draw_reconstructions(axes, runs, target, columns, names):
    """Test images, and under them the averaged reconstructions of one run of each method, with its rate and beta."""
    first = next(iter(runs.values()))
    rows = [first["examples"]["images"], *(record["examples"]["reconstructions"] for record in runs.values())]
    images = [records.unpack_images(packed) for packed in rows]
    labels = ["test images", *map(style.label_of, runs)] if names else [""] * len(rows)
    style.show_images(axes, images, labels, min(columns, len(images[0])))
    axes.tick_params(labelsize=7.5)
    axes.set_title(f"near {target:.1f} nats", fontsize=8.5)
    height = images[0].shape[1] + max(1, images[0].shape[1] // 14)
    for i, record in enumerate(runs.values(), 1):
        axes.text(
            axes.get_xlim()[1],
            height * i + height * 0.46,
            f" {_rate(record):.1f}\n β={record['config']['beta']:g}",
            fontsize=5.5,
            va="center",
            linespacing=0.95,
        )
