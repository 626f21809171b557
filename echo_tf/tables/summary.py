"""Tables of a study, rebuilt from its records alone and set beside the published numbers."""

from pathlib import Path

import numpy as np
import pandas as pd

from echo_tf import analysis_tables, records
from echo_tf.analysis_tables import number
from echo_tf.data.catalog import CATALOG, title_of
from echo_tf.errors import InputError
from echo_tf.evaluation import METRICS
from echo_tf.files import write_atomically
from echo_tf.methods import METHODS

PAPER_S_NETWORK = "alemi2018"
SHOWN = ("dataset", "method", "preset", "network", "fidelity", "dtype_policy", "epochs", "beta")
ROW = ("dataset", "method", "preset", "beta", "variant")  # what a row is of, in the main
TRIMMED_FROM = 10  # the paper's way: ten runs, the best and the worst left out (section 5.1)


def study_names(results):
    """The studies that have records below results/runs."""
    root = Path(results, "runs")
    return sorted({str(path.parents[2].relative_to(root)) for path in root.rglob("*.json")})


def summarize(results, study, published=None):
    """One row for each configuration of a study, over its seeds.

    Args:
        results: the results folder.
        study: its name.
        published: a CSV file of published numbers, which then stand beside the runs at beta = 1.

    Returns:
        A DataFrame; results/README.md defines its columns.

    Raises:
        InputError: if the study has no finished runs.
    """
    groups = records.by_configuration(results, study)
    if not groups:
        raise InputError(
            f"no finished runs of {study!r} in {results}/runs; there are {', '.join(study_names(results)) or 'none'}."
        )
    table = pd.DataFrame([_row(group) for group in groups])
    table["set_apart_by"] = _set_apart([group[0]["config"] for group in groups])
    table = _against_baseline(table)
    numbers = _published(published, "neg_elbo_nats")
    if numbers is not None:
        table = _beside(table, numbers)
    order = ["dataset", "preset", "beta", "method", "variant"]
    return table.sort_values(order, key=_in_order, ignore_index=True, kind="stable", na_position="first")


def _in_order(column):
    """Datasets and methods in the order of their tables, everything else in its own."""
    order = {name: i for i, name in enumerate([*CATALOG, *METHODS])}
    return column.map(lambda value: order.get(value, len(order))) if column.name in ("dataset", "method") else column


def averaged(group):
    """The metrics of the runs that a group's mean is of, a row each: of ten or more, without the best and the worst -ELBO."""
    runs = pd.DataFrame([{name: record["test"]["metrics"][name]["mean"] for name in METRICS} for record in group])
    return runs.sort_values("neg_elbo_nats").iloc[1:-1] if len(runs) >= TRIMMED_FROM else runs


def _row(group):
    """The mean over a group's runs."""
    config, data = group[0]["config"], group[0]["data"]
    kept = averaged(group)
    single = group[0]["test"]["metrics"]["neg_elbo_nats"]["standard_error"]
    return {
        **{key: config[key] for key in SHOWN},
        "variant": config.get("variant"),
        "standardize": bool(config.get("standardize")),
        "data_variant": data["variant"],
        "runs": len(group),
        "runs_averaged": len(kept),
        **kept.mean().to_dict(),
        "neg_elbo_std_over_seeds_nats": kept["neg_elbo_nats"].std(ddof=1) if len(kept) > 1 else None,
        "neg_elbo_standard_error_over_images_nats": single,
        "neg_log_likelihood_nats": _likelihood(group),
        "parameters": group[0]["parameters"],
    }


def _likelihood(group):
    """The importance-sampled -log p(x), mean over the runs that have it, or None."""
    found = [record["test"].get("log_likelihood", {}).get("neg_log_likelihood_nats") for record in group]
    return float(np.mean([value["mean"] for value in found])) if all(found) else None


def _set_apart(configs):
    """What tells rows of one dataset, method, preset, beta and variant from each other, in words, "" where nothing need."""
    words = []
    for config in configs:
        alike = [other for other in configs if all(other.get(key) == config.get(key) for key in ROW)]
        words.append(", ".join(records.set_apart(config, alike, known=("epochs", "dtype_policy", "fidelity", "standardize"))))
    return words


def _against_baseline(table):
    """Adds, in a study of variants, how much worse than its baseline each row is."""
    if not (table["variant"] == "baseline").any():
        return table
    alike = ["dataset", "method", "preset", "beta"]
    baseline = table[table["variant"] == "baseline"].drop_duplicates(alike)[[*alike, "neg_elbo_nats"]]
    table = table.merge(baseline, how="left", on=alike, suffixes=("", "_of_baseline"))
    difference = table["neg_elbo_nats"] - table.pop("neg_elbo_nats_of_baseline")
    return table.assign(difference_to_baseline_nats=difference.where(table["variant"] != "baseline"))


def _beside(table, published):
    """Adds the published columns, matched by dataset and method, to the rows at beta = 1 with the paper's network."""
    titles = {method.title: name for name, method in METHODS.items()}
    published = published.assign(method=published["method"].map(titles), beta=1.0, network=PAPER_S_NETWORK)
    published = published.dropna(subset="method")
    published = published.drop(columns=["neg_elbo_std", "parameters_millions"]).rename(
        columns={name: f"published_{name}" for name in METRICS}
    )
    table = table.merge(published, how="left", on=["dataset", "method", "beta", "network"])
    table["difference_neg_elbo_nats"] = table["neg_elbo_nats"] - table["published_neg_elbo_nats"]
    return table


def to_markdown(table, title, note):
    """The table as a reader wants it: rounded to 0.1 nats as in the paper (differences to 0.01), units in the heads."""
    published, variants = ("published_neg_elbo_nats" in table), ("difference_to_baseline_nats" in table)
    heads = [
        "dataset",
        "method",
        "beta",
        "preset",
        "epochs",
        "runs",
        "rate",
        "distortion",
        "−ELBO",
        "± seeds",
        "± images",
        "−log p(x)",
        "parameters",
    ]
    heads += ["against baseline"] if variants else []
    heads += ["published −ELBO", "difference"] if published else []
    lines = [f"# {title}", "", note, "", "| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    for row in table.to_dict("records"):
        averaged = "" if row["runs_averaged"] == row["runs"] else f" ({row['runs_averaged']} averaged)"
        cells = [
            title_of(row["dataset"]),
            METHODS[row["method"]].title,
            f"{row['beta']:g}",
            ", ".join([row["preset"], *_unusual(row)]),
            row["epochs"],
            f"{row['runs']}{averaged}",
            *(f"{row[name]:.1f}" for name in METRICS),
            number(row["neg_elbo_std_over_seeds_nats"], ".2f"),
            f"{row['neg_elbo_standard_error_over_images_nats']:.2f}",
            number(row["neg_log_likelihood_nats"], ".1f"),
            f"{row['parameters']:,}",
        ]
        if variants:
            cells.append(number(row["difference_to_baseline_nats"], "+.1f"))
        if published:
            cells += [number(row["published_neg_elbo_nats"], ".1f"), number(row["difference_neg_elbo_nats"], "+.1f")]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    sources = table[["dataset", "data_variant"]].drop_duplicates()
    lines += ["", "Data: " + "; ".join(f"{d}: {v}" for d, v in sources.itertuples(index=False)) + "."]
    return "\n".join(lines) + "\n"


NOTE = (
    "Rate, distortion and −ELBO in nats per test image. ± seeds: standard deviation over runs, of ten runs without the "
    "best and the worst, as in the paper; – for a single run. ± images: standard error over the test images of one run. "
    "−log p(x): by importance sampling, a bound tighter than −ELBO; Echo has none, as the density of its q(z|x) is not known. "
    "A preset other than `paper` is shorter than the paper's training: its numbers are not the paper's. "
    "`standardized`: Echo whose decoder is given a code of unit scale, which no paper has."
)


def write(results, study, published=None):
    """Writes results/tables/<study>.md and .csv, and those of Table 3 where runs were analysed; returns the Markdown."""
    table = summarize(results, study, published)
    text = to_markdown(table, study, NOTE)
    write_atomically(Path(results, "tables", f"{study}.csv"), table.to_csv(index=False, float_format="%.6g"))
    write_atomically(Path(results, "tables", f"{study}.md"), text)
    beside = Path(results, "published") if published is None else Path(published).parent
    correlations = _published(beside / "echo_table3.csv", "total_correlation")
    return "\n".join([text, *analysis_tables.write(results, study, correlations)])


def _published(path, column):
    """The published numbers in a CSV file, or None where there is no such file or column."""
    numbers = pd.read_csv(path) if path is not None and Path(path).is_file() else None
    return numbers if numbers is not None and column in numbers else None


def _unusual(row):
    """What sets a row apart: its variant, a precision or fidelity that is not the usual one, other settings."""
    if not pd.isna(row["variant"]):
        yield row["variant"]
    if row["standardize"] and row["variant"] != "standardized":
        yield "standardized"
    if row["set_apart_by"]:
        yield row["set_apart_by"]
    if row["dtype_policy"] != "float32":
        yield row["dtype_policy"]
    if row["fidelity"] not in ("paper", row["variant"]):
        yield f"fidelity {row['fidelity']}"
