"""The summary of a study: rate, distortion and -ELBO of each configuration over its seeds, beside the published numbers."""

from operator import attrgetter

import numpy as np
import pandas as pd

from echo_tf.data.catalog import CATALOG, title_of
from echo_tf.files import write_atomically
from echo_tf.methods import METHODS
from echo_tf.runs import records
from echo_tf.tables import Material
from echo_tf.tables.published import beside, in_words, markdown

SHOWN = ("dataset", "method", "preset", "network", "fidelity", "dtype_policy", "epochs", "steps", "beta")
ROW = ("dataset", "method", "preset", "beta", "variant")  # what a row is of, in the main
TRIMMED_FROM = 10  # the paper's way: ten runs, the best and the worst left out (section 5.1)
LOSS = "distortion_plus_beta_rate_nats"
NOTE = (
    "Rate, distortion and −ELBO in nats per test image. ± seeds: standard deviation over runs, of ten runs without the "
    "best and the worst, as in the paper; – for a single run. ± images: standard error over the test images of one run. "
    "D + βR: what training lowers, but for penalties. "
    "−log p(x): by importance sampling, a bound tighter than −ELBO; Echo has none, as the density of its q(z|x) is not known. "
    "A preset other than `paper` is shorter than the paper's training: its numbers are not the paper's. "
    "`standardized`: Echo whose decoder is given a code of unit scale, which no paper has."
)


def write(material: Material) -> str | None:
    """Writes <study>.md and .csv; returns the Markdown, None where the study has no trainings."""
    if not any(result.finished and result.settings.kind == "autoencoder" for result in material.own):
        return None
    table = summarize(material)
    text = to_markdown(table, material.study)
    write_atomically(f"{material.stem}.csv", table.to_csv(index=False, float_format="%.9g"))
    write_atomically(f"{material.stem}.md", text)
    return text


def summarize(material: Material) -> pd.DataFrame:
    """One row for each configuration of a study, over its seeds; results/COLUMNS.md defines its columns."""
    groups = records.by_law(result for result in material.own if result.settings.kind == "autoencoder")
    table = pd.DataFrame([_row(group, _likelihoods(material.every)) for group in groups])
    if "distortion_nats" in table:
        losses = table["distortion_nats"] + table["beta"] * table["rate_nats"]
        table.insert(table.columns.get_loc("neg_elbo_nats") + 1, LOSS, losses)
    table["set_apart_by"] = _set_apart([group[0].settings for group in groups])
    table = beside(_against_baseline(table), material)
    if "published_neg_elbo_nats" in table:
        table["difference_neg_elbo_nats"] = table["neg_elbo_nats"] - table["published_neg_elbo_nats"]
    order = ["dataset", "preset", "beta", "method", "variant"]
    return table.sort_values(order, key=in_order, ignore_index=True, kind="stable", na_position="first")


def _likelihoods(every):
    """{the work of a training: its measured -log p(x)}, of several measurements the one of most samples, the tightest."""
    found = {}
    for result in every:
        if result.finished and result.settings.kind == "likelihood":
            row, work = result.rows()[0], result.settings.model.work()
            found[work] = max(found.get(work, row), row, key=lambda row: row["samples_per_image"])
    return {work: row["neg_log_likelihood_nats"] for work, row in found.items()}


def in_order(column: pd.Series) -> pd.Series:
    """Datasets and methods in the order of their tables, everything else in its own."""
    order = {name: i for i, name in enumerate([*CATALOG, *METHODS])}
    return column.map(lambda value: order.get(value, len(order))) if column.name in ("dataset", "method") else column


def averaged(group) -> pd.DataFrame:
    """The metrics of the runs that a group's mean is of, a row each: of ten or more, without the best and the worst."""
    runs = pd.DataFrame([{k: v for k, v in result.rows()[0].items() if _is_averaged(k)} for result in group])
    by = "neg_elbo_nats" if "neg_elbo_nats" in runs else runs.columns[-1]
    return runs.sort_values(by).iloc[1:-1] if len(runs) >= TRIMMED_FROM else runs


def _is_averaged(name):
    return name in ("rate_nats", "neg_elbo_nats") or _is_distortion(name)


def _is_distortion(name):
    """Whether a column is a run's distortion, in whatever unit that is."""
    return name.startswith("distortion_") and "standard_error" not in name and name != LOSS


def _row(group, likelihoods):
    """The mean over a group's runs."""
    settings, kept, first = group[0].settings, averaged(group), group[0].rows()[0]
    return {
        **{key: getattr(settings, key) for key in SHOWN},
        "title": settings.title,
        "variant": settings.variant,
        "standardize": settings.standardize,
        "data_variant": first["data_variant"],
        "runs": len(group),
        "runs_averaged": len(kept),
        **kept.mean().to_dict(),
        "neg_elbo_std_over_seeds_nats": kept["neg_elbo_nats"].std(ddof=1)
        if len(kept) > 1 and "neg_elbo_nats" in kept
        else None,
        "neg_elbo_standard_error_over_images_nats": first.get("neg_elbo_standard_error_over_images_nats"),
        "neg_log_likelihood_nats": _likelihood(group, likelihoods),
        "parameters": first["parameters"],
    }


def _likelihood(group, measured):
    """The importance-sampled -log p(x), mean over the runs if all have it, or None."""
    found = [result.rows()[0]["neg_log_likelihood_nats"] or measured.get(result.settings.work()) for result in group]
    return float(np.mean(found)) if all(found) else None


def _set_apart(every):
    """What tells rows of one dataset, method, preset, beta and variant from each other, in words, "" where nothing need."""
    # the fidelity too, which else would tell of all its switches
    return records.told_apart(every, attrgetter(*ROW, "fidelity"), ("epochs", "dtype_policy", "standardize"))


def _against_baseline(table):
    """Adds, in a study of variants, how much worse than its baseline each row is."""
    if LOSS not in table or not (table["variant"] == "baseline").any():
        return table
    alike = ["dataset", "method", "preset", "beta"]
    baseline = table[table["variant"] == "baseline"][[*alike, LOSS]]
    baseline = baseline[~baseline.duplicated(alike, keep=False)]  # of two, nobody could tell which a variant is held against
    table = table.merge(baseline, how="left", on=alike, suffixes=("", "_of_baseline"))
    difference = table[LOSS] - table.pop(f"{LOSS}_of_baseline")
    return table.assign(difference_to_baseline_nats=difference.where(table["variant"] != "baseline"))


def to_markdown(table: pd.DataFrame, title: str, note: str = NOTE) -> str:
    """The table as a reader wants it: rounded to 0.1 nats as in the paper (differences to 0.01), units in the heads."""
    published, variants = ("published_neg_elbo_nats" in table), ("difference_to_baseline_nats" in table)
    losses = LOSS in table and any(table["beta"] != 1)
    heads = ["dataset", "method", "beta", "preset", "epochs", "runs", "rate", "distortion", "−ELBO", "± seeds", "± images"]
    heads += [
        *["D + βR"] * losses,
        "−log p(x)",
        "parameters",
        *["against baseline"] * variants,
        *["published −ELBO", "difference"] * published,
    ]
    rows = []
    for row in table.to_dict("records"):
        averaged = "" if row["runs_averaged"] == row["runs"] else f" ({row['runs_averaged']} averaged)"
        cells = [
            title_of(row["dataset"]),
            row["title"],
            f"{row['beta']:g}",
            ", ".join([row["preset"], *_unusual(row)]),
            f"{int(row['epochs'])}" if not pd.isna(row["epochs"]) else f"{int(row['steps']):,} steps",
            f"{row['runs']}{averaged}",
            in_words(row["rate_nats"], ".1f"),
            _distortion(row),
            in_words(row.get("neg_elbo_nats"), ".1f"),
            in_words(row["neg_elbo_std_over_seeds_nats"], ".2f"),
            in_words(row["neg_elbo_standard_error_over_images_nats"], ".2f"),
            *[in_words(row.get(LOSS), ".1f")] * losses,
            in_words(row["neg_log_likelihood_nats"], ".1f"),
            f"{row['parameters']:,}",
        ]
        cells += [in_words(row["difference_to_baseline_nats"], "+.1f")] if variants else []
        if published:
            cells += [in_words(row["published_neg_elbo_nats"], ".1f"), in_words(row["difference_neg_elbo_nats"], "+.1f")]
        rows.append(cells)
    sources = table[["dataset", "data_variant"]].drop_duplicates()
    data = "; ".join(f"{d}: {v}" for d, v in sources.itertuples(index=False))
    return "\n".join([f"# {title}", "", note, "", *markdown(heads, rows), "", f"Data: {data}."]) + "\n"


def _distortion(row):
    """The distortion with its unit, where that is not nats."""
    [(name, value)] = [(name, value) for name, value in row.items() if _is_distortion(name) and not pd.isna(value)]
    unit = name.removeprefix("distortion_")
    return {"nats": f"{value:.1f}", "sse": f"{value:.1f} (squared error)"}.get(unit, f"{value:.4g} ({unit.replace('_', ' ')})")


def _unusual(row):
    """What sets a row apart: its variant, a precision or fidelity that is not the usual one, other settings."""
    if not pd.isna(row["variant"]) and row["variant"] != "standardized":  # of which the method's name tells
        yield row["variant"]
    if row["set_apart_by"]:
        yield row["set_apart_by"]
    if row["dtype_policy"] != "float32":
        yield row["dtype_policy"]
    if row["fidelity"] not in ("paper", row["variant"]):
        yield f"fidelity {row['fidelity']}"
