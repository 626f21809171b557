"""The Echo paper's Table 3 and the Gaussianity tests of its appendix D.2, rebuilt from the analyses stored with the runs."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from echo_tf.data.catalog import CATALOG, title_of
from echo_tf.errors import InputError
from echo_tf.files import write_atomically
from echo_tf.methods import METHODS
from echo_tf.runs.records import Result, by_law, told_apart
from echo_tf.runs.settings import Settings
from echo_tf.tables import Material
from echo_tf.tables.published import beside, in_words, markdown

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


def analysed(material: Material) -> list[list[Result]]:
    """The analyses of a study in lists, one a configuration, ordered by dataset and beta.

    Trainings of before analyses were runs of their own carry theirs; where the same model has both, the run counts.
    """
    new = [result for result in material.own if result.finished and result.settings.kind == "echo_analysis"]
    known = {result.settings.model.work() for result in new}
    old = [result for result in material.own if "analysis" in result.record and result.settings.kind == "autoencoder"]
    groups = by_law([*new, *(result for result in old if result.settings.work() not in known)])
    order = {name: i for i, name in enumerate(CATALOG)}

    def place(group):
        settings = group[0].settings.subject
        return order.get(settings.dataset, len(order)), settings.dataset, settings.preset, settings.beta

    return sorted(groups, key=place)


def arrays(result: Result) -> dict:
    """The arrays of an analysis; results/COLUMNS.md defines them. Raises InputError if the file is missing or damaged."""
    found = result.arrays("analysis")
    if "pointwise_information_nats" in found:  # its name in older files
        found["pointwise_rate_nats"] = found.pop("pointwise_information_nats")
    for name in ("density", "pointwise_rate_nats", "anderson_darling_statistic"):
        if name not in found:
            raise InputError(f"the analysis beside {result.path} lacks {name}: remove it with its record and run again.")
    return found


def name_of(settings: Settings) -> str:
    """The name of an analysed run, as it stands in the names of files."""
    return settings.subject.run_name


def correlations(groups: Sequence[Sequence[Result]]) -> pd.DataFrame:
    """Table 3: a row for each configuration, the mean over its runs; results/COLUMNS.md defines the columns."""
    rows = []
    words = told_apart([group[0].settings for group in groups], _shown)
    for group, set_apart_by in zip(groups, words):
        settings, found = group[0].settings.subject, pd.DataFrame([r.record["analysis"]["total_correlation"] for r in group])
        # errors of independent draws; those over seeds stand beside them
        errors = np.sqrt(np.square(found.filter(like="standard_error")).sum()) / len(found)
        rows.append(
            {
                **dict(zip(SETTINGS, _shown(settings))),
                "set_apart_by": ", ".join(filter(None, [settings.variant, set_apart_by])),
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
    return pd.DataFrame(rows)


def _shown(settings):
    return tuple(getattr(settings.subject, key) for key in SETTINGS)


def gaussianity(group: Sequence[Result]) -> pd.DataFrame:
    """A row for each dimension of a configuration's first run, by falling rate; results/COLUMNS.md defines the columns."""
    settings, found = group[0].settings.subject, arrays(group[0])
    rates = found["dimension_rate_nats"]
    whole, small = found["anderson_darling_statistic"], found["anderson_darling_statistic_small"]
    table = pd.DataFrame(
        {
            **{key: getattr(settings, key) for key in (*SETTINGS, "seed")},
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


def write(material: Material) -> str | None:
    """Writes <study>_total_correlation.md and .csv and <study>_anderson_darling.csv; returns the Markdown, None where no run
    of the study was analysed."""
    groups = analysed(material)
    if not groups:
        return None
    table = beside(correlations(groups), material)
    tests = [gaussianity(group) for group in groups]
    text = _correlation_text(material.study, table) + "".join(_gaussianity_text(test) for test in tests)
    for name, content in (("total_correlation", table), ("anderson_darling", pd.concat(tests))):
        write_atomically(f"{material.stem}_{name}.csv", content.to_csv(index=False, float_format="%.9g"))
    write_atomically(f"{material.stem}_total_correlation.md", text)
    return text


def _correlation_text(study, table):
    heads = ["dataset", "beta", "preset", "runs", "printed", "± draws", "with ½", "± draws", "± seeds", "code", "code − noise"]
    rows = [
        [
            title_of(row["dataset"]),
            f"{row['beta']:g}",
            ", ".join(filter(None, [row["preset"], row["set_apart_by"]])),
            f"{row['runs']}",
            f"{row['total_correlation_printed_nats']:.2f}",
            f"{row['total_correlation_printed_standard_error_nats']:.3f}",
            f"{row['total_correlation_nats']:.2f}",
            f"{row['total_correlation_standard_error_nats']:.3f}",
            in_words(row["total_correlation_std_over_seeds_nats"], ".2f"),
            f"{row['code_total_correlation_nats']:.2f}",
            f"{row['code_minus_noise_nats']:+.3f} ± {row['code_minus_noise_standard_error_nats']:.3f}",
            in_words(row.get("published_total_correlation_nats", np.nan), ".1f"),
        ]
        for row in table.to_dict("records")
    ]
    return "\n".join([f"# {study}: total correlation", "", NOTE_CORRELATION, "", *markdown([*heads, "published"], rows)]) + "\n"


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
    return "\n".join(["", title, "", note, "", *markdown(heads, rows), "", said]) + "\n"
