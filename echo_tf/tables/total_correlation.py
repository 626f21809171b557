"""The Echo paper's Table 3 and the Gaussianity tests of its appendix D.2, rebuilt from the analyses stored with the runs."""

from pathlib import Path

import numpy as np
import pandas as pd

from echo_tf import analysis, records
from echo_tf.analysis import ENDING
from echo_tf.data.catalog import CATALOG, title_of
from echo_tf.files import write_atomically
from echo_tf.methods import METHODS

SETTINGS = ("dataset", "method", "preset", "beta")
NOTE_CORRELATION = (
    "Total correlation of Echo noise by its second-order (Gaussian) approximation, in nats. *Printed*: −log det of the "
    "correlation matrix, the formula of the paper's appendix C. *With ½*: half of that, the total correlation of a "
    "Gaussian with this correlation matrix. ± draws: standard error over noise draws for the model at hand (jackknife). "
    "± seeds: standard deviation over runs. Code: that of z, with ½; by appendix C it equals that of the noise, so "
    "code − noise checks the channel. The paper does not say which of the two formulas gave its numbers."
)
NOTE_GAUSSIAN = (
    "Anderson-Darling test of each marginal q(z_j) against a Gaussian of unknown mean and variance, of the first run. "
    "{codes} codes: one for each test image. {small} codes: a random part of these, and the share rejected among "
    "all {parts} such parts (5 % are expected of a Gaussian). Critical values at 5 %: {critical:.3f} and {critical_small:.3f}. "
    "The paper reports no rejection and does not state its sample size; with enough codes any departure is rejected."
)


def analysed(results, study):
    """The finished runs of a study whose analysis was stored, in lists, one a configuration, ordered by dataset and beta."""
    groups = [[r for r in group if r.get("analysis")] for group in records.by_configuration(results, study)]
    order = {name: i for i, name in enumerate(CATALOG)}

    def place(group):
        config = group[0]["config"]
        return order.get(config["dataset"], len(order)), config["dataset"], config["preset"], config["beta"]

    return sorted((group for group in groups if group), key=place)


def run_of(record):
    """The name of an analysed run."""
    return record["analysis"]["file"].removesuffix(ENDING)


def read(results, record):
    """The arrays of a record's analysis. Raises InputError if its file is missing or damaged."""
    config = record["config"]
    return analysis.read(
        Path(results, "runs", config["study"], config["dataset"], config["method"], record["analysis"]["file"])
    )


def correlations(groups, published=None):
    """Table 3: a row for each configuration, the mean over its runs; results/README.md defines the columns.

    Args:
        groups: of `analysed`.
        published: DataFrame with columns dataset, total_correlation, or None.
    """
    rows = []
    for group in groups:
        config, found = group[0]["config"], pd.DataFrame([r["analysis"]["total_correlation"] for r in group])
        # errors of independent draws; those over seeds stand beside them
        errors = np.sqrt(np.square(found.filter(like="standard_error")).sum()) / len(found)
        rows.append(
            {
                **{key: config[key] for key in SETTINGS},
                "runs": len(found),
                "draws": int(found["draws"].sum()),
                "total_correlation_printed_nats": 2 * found["noise_nats"].mean(),
                "total_correlation_printed_standard_error_nats": 2 * errors["noise_standard_error_nats"],
                "total_correlation_nats": found["noise_nats"].mean(),
                "total_correlation_standard_error_nats": errors["noise_standard_error_nats"],
                "total_correlation_std_over_seeds_nats": found["noise_nats"].std(ddof=1) if len(found) > 1 else np.nan,
                "code_total_correlation_nats": found["code_nats"].mean(),
                "code_minus_noise_nats": found["code_minus_noise_nats"].mean(),
                "code_minus_noise_standard_error_nats": errors["code_minus_noise_standard_error_nats"],
            }
        )
    table = pd.DataFrame(rows)
    if published is not None:
        published = published[["dataset", "total_correlation"]].assign(beta=1.0)
        published = published.rename(columns={"total_correlation": "published_total_correlation_nats"})
        table = table.merge(published, how="left", on=["dataset", "beta"])
    return table


def gaussianity(results, group):
    """A row for each dimension of a configuration's first run, by falling rate; results/README.md defines the columns."""
    config, found = group[0]["config"], read(results, group[0])
    rates = found["dimension_rate_nats"]
    whole, small = found["anderson_darling_statistic"], found["anderson_darling_statistic_small"]
    table = pd.DataFrame(
        {
            **{key: config[key] for key in (*SETTINGS, "seed")},
            "dimension": np.arange(len(rates)),
            "rate_nats": rates,
            "shown": np.isin(np.arange(len(rates)), found["shown_dimension"]),
            "codes": int(found["anderson_darling_codes"]),
            "statistic": whole,
            "critical": float(found["anderson_darling_critical"]),
            "rejected": whole > found["anderson_darling_critical"],
            "codes_small": int(found["anderson_darling_codes_small"]),
            "statistic_small": small,
            "critical_small": float(found["anderson_darling_critical_small"]),
            "rejected_small": small > found["anderson_darling_critical_small"],
            "samples_small": int(found["anderson_darling_samples_small"]),
            "rejected_small_fraction": found["anderson_darling_rejected_small_fraction"],
        }
    )
    return table.sort_values("rate_nats", ascending=False, kind="stable", ignore_index=True)


def write(results, study, published=None):
    """Writes results/tables/<study>_total_correlation.md and .csv and <study>_anderson_darling.csv.

    Returns:
        The Markdown in a list; an empty list, and no files, where no run of the study was analysed.
    """
    groups = analysed(results, study)
    if not groups:
        return []
    table = correlations(groups, published)
    tests = [gaussianity(results, group) for group in groups]
    text = _correlation_text(study, table) + "".join(_gaussianity_text(test) for test in tests)
    stem = Path(results, "tables", study)
    for name, content in (("total_correlation", table), ("anderson_darling", pd.concat(tests))):
        write_atomically(f"{stem}_{name}.csv", content.to_csv(index=False, float_format="%.6g"))
    write_atomically(f"{stem}_total_correlation.md", text)
    return [text]


def number(value, form):
    """A number for a reader, "–" where there is none."""
    return "–" if pd.isna(value) else format(value, form)


def _lines(heads, rows):
    return ["| " + " | ".join(row) + " |" for row in (heads, ["---"] * len(heads), *rows)]


def _correlation_text(study, table):
    heads = ["dataset", "beta", "preset", "runs", "printed", "± draws", "with ½", "± draws", "± seeds", "code", "code − noise"]
    rows = [
        [
            title_of(row["dataset"]),
            f"{row['beta']:g}",
            row["preset"],
            f"{row['runs']}",
            f"{row['total_correlation_printed_nats']:.2f}",
            f"{row['total_correlation_printed_standard_error_nats']:.3f}",
            f"{row['total_correlation_nats']:.2f}",
            f"{row['total_correlation_standard_error_nats']:.3f}",
            number(row["total_correlation_std_over_seeds_nats"], ".2f"),
            f"{row['code_total_correlation_nats']:.2f}",
            f"{row['code_minus_noise_nats']:+.3f} ± {row['code_minus_noise_standard_error_nats']:.3f}",
            number(row.get("published_total_correlation_nats", np.nan), ".1f"),
        ]
        for row in table.to_dict("records")
    ]
    return "\n".join([f"# {study}: total correlation", "", NOTE_CORRELATION, "", *_lines([*heads, "published"], rows)]) + "\n"


def _gaussianity_text(table):
    first, shown = table.iloc[0], table[table["shown"]]
    note = NOTE_GAUSSIAN.format(
        codes=f"{first.codes:,}",
        small=first.codes_small,
        parts=first.samples_small,
        critical=first.critical,
        critical_small=first.critical_small,
    )
    heads = [
        "dimension",
        "rate",
        f"A², {first.codes:,} codes",
        "rejected",
        f"A², {first.codes_small} codes",
        "rejected",
        "share",
    ]
    rows = [
        [
            f"{row.dimension}",
            f"{row.rate_nats:.3f}",
            f"{row.statistic:.2f}",
            "yes" if row.rejected else "no",
            f"{row.statistic_small:.2f}",
            "yes" if row.rejected_small else "no",
            f"{row.rejected_small_fraction:.0%}",
        ]
        for row in shown.itertuples()
    ]
    said = (
        f"Of all {len(table)} dimensions, {table['rejected'].sum()} are rejected at {first.codes:,} codes "
        f"and {table['rejected_small'].sum()} at {first.codes_small}."
    )
    title = (
        f"## {title_of(first.dataset)}, {METHODS[first.method].title}, β = {first.beta:g}, {first.preset}: Gaussian marginals"
    )
    return "\n".join(["", title, "", note, "", *_lines(heads, rows), "", said]) + "\n"
