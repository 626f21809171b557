"""Tables within the Markdown files of the rooms: written from results/tables by `run.py tables`, never by hand.

A file marks the place of a table so, and what stands between the two marks is renewed:

    <!-- table: echo/table1 rows: preset=quick columns: method, rate_nats, neg_elbo_nats -->
    <!-- end of table -->

Rows are those whose columns have these values (a|b: either), columns those of the CSV file, under `TITLES` where it has one.
"""

import re
from pathlib import Path

import pandas as pd

from echo_tf.errors import InputError
from echo_tf.files import write_atomically
from echo_tf.tables.published import in_words, markdown

PLACE = re.compile(
    r"<!-- table: (?P<table>[\w/]+)(?: rows: (?P<rows>[^\n]*?))? columns: (?P<columns>[^\n]*?) -->\n.*?<!-- end of table -->",
    re.DOTALL,
)
TITLES = {
    "title": "method",
    "rate_nats": "rate",
    "distortion_nats": "distortion",
    "neg_elbo_nats": "−ELBO",
    "distortion_plus_beta_rate_nats": "D + βR",
    "neg_elbo_std_over_seeds_nats": "± seeds",
    "neg_elbo_standard_error_over_images_nats": "± images",
    "neg_log_likelihood_nats": "−log p(x)",
    "published_neg_elbo_nats": "the paper's −ELBO",
    "difference_to_baseline_nats": "against baseline",
    "ground_truth": "factors",
    "factor_vae_score": "FactorVAE",
    "published_factor_vae_score": "the paper's",
    "gamma": "γ",
    "code_total_correlation_nats": "total correlation",
    "mig_score": "MIG",
    "published_mig_score": "the paper's",
}
DECIMALS = dict.fromkeys(
    ("neg_elbo_std_over_seeds_nats", "neg_elbo_standard_error_over_images_nats", "code_total_correlation_nats"), ".2f"
)
DECIMALS["difference_to_baseline_nats"] = "+.1f"


def refresh(root: str | Path) -> list[Path]:
    """Renews the tables in every Markdown file of a clone; returns the files that changed."""
    changed = []
    for path in sorted(Path(root).glob("**/*.md")):
        if any(part.startswith(".") or part in ("work", "own", "build") for part in path.relative_to(root).parts):
            continue
        text = path.read_text(encoding="utf-8")
        renewed = renew(text, Path(root, "results", "tables"))
        if renewed != text:
            write_atomically(path, renewed)
            changed.append(path)
    return changed


def renew(text: str, tables: str | Path) -> str:
    """Markdown with its marked tables as the CSV files below `tables` have them.

    Raises:
        InputError: for a table, a column or rows that are not there.
    """
    return PLACE.sub(lambda place: _table(place, Path(tables)), text)


def _table(place, tables):
    path = tables / f"{place['table']}.csv"
    try:
        numbers = pd.read_csv(path)
        for condition in filter(None, (place["rows"] or "").split()):
            column, _, allowed = condition.partition("=")
            numbers = numbers[numbers[column].map(_as_written).isin(allowed.split("|"))]
        columns = [name.strip() for name in place["columns"].split(",")]
        rows = [[_cell(name, row[name]) for name in columns] for row in numbers.to_dict("records")]
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"the table {place['table']} of a Markdown file cannot be made from {path}: {error}.") from error
    if not rows:
        raise InputError(f"no rows {place['rows']} in {path}.")
    lines = markdown([TITLES.get(name, name.replace("_", " ")) for name in columns], rows)
    return "\n".join([place[0].splitlines()[0], *lines, "<!-- end of table -->"])


def _as_written(value):
    return "none" if pd.isna(value) else f"{value:g}" if isinstance(value, float) else str(value)


def _cell(name, value):
    if name.endswith("_nats"):
        return in_words(value, DECIMALS.get(name, ".1f"))
    if name.endswith("_score"):
        return in_words(value, ".2f")
    if isinstance(value, int):
        return f"{value:,}"
    return "–" if pd.isna(value) else _as_written(value)
