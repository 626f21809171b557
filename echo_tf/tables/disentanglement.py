"""Table 2 of the Echo paper: scores of each configuration's representations over its seeds, beside the published ones."""

import pandas as pd

from echo_tf.files import write_atomically
from echo_tf.kinds.disentangle import SCORES
from echo_tf.runs.records import by_law, told_apart
from echo_tf.tables import Material
from echo_tf.tables.published import beside, in_words, markdown
from echo_tf.tables.summary import in_order

COLUMNS = tuple(column for columns in SCORES.values() for column in columns)
SHOWN = ("dataset", "ground_truth", "method", "preset", "network", "beta", "gamma", "variant")
PUBLISHED = ("factor_vae_score", "mig_score")
HEADS = {
    "beta_vae_score": "β-VAE",
    "dci_disentanglement_score": "DCI D",
    "dci_completeness_score": "C",
    "dci_informativeness_score": "I",
    "sap_score": "SAP",
    "modularity_score": "modularity",
    "code_total_correlation_nats": "TC (nats)",
}
NOTE = (
    "Scores in [0, 1]; images are drawn from all combinations of factors, for models of dependent ones too. *mean*: the "
    "encoder's loc, f(x). *sampled*: a code z, Echo's noise made of images at random. *released*: a code z, Echo's noise made "
    "of the very images that share the fixed factor, dimensions pruned below a standard deviation of 0.05: the released "
    "code's protocol, which leaks the fixed factor to Echo's FactorVAE score. TC: Gaussian total correlation of the code. "
    "Published: the Echo paper's Table 2, of 300,000 steps and ten seeds; a preset other than `paper` is shorter. "
    "`standardized`: Echo whose decoder is given a code of unit scale, which no paper has."
)


def write(material: Material) -> str | None:
    """Writes <study>_disentanglement.md and .csv; returns the Markdown, None where no run of the study has scores."""
    found = [result for result in material.own if result.finished and result.settings.kind == "disentangle"]
    if not found:
        return None
    groups = by_law(found)
    words = told_apart([group[0].settings for group in groups], lambda one: [getattr(one.subject, key) for key in SHOWN])
    rows = [{**row, "set_apart_by": said} for group, said in zip(groups, words) for row in _rows(group)]
    table = beside(pd.DataFrame(rows), material)
    order = ["dataset", "preset", "beta", "gamma", "ground_truth", "method", "variant"]
    table = table.sort_values(order, key=_in_order, ignore_index=True, kind="stable", na_position="first")
    text = _to_markdown(table, material.study)
    write_atomically(f"{material.stem}_disentanglement.csv", table.to_csv(index=False, float_format="%.9g"))
    write_atomically(f"{material.stem}_disentanglement.md", text)
    return text


def _in_order(column):
    return column.map({"independent": 0, "dependent": 1}) if column.name == "ground_truth" else in_order(column)


def _rows(group):
    """A row a representation: means over the runs, and standard deviations over them."""
    settings = group[0].settings.subject
    every = pd.DataFrame([row for result in group for row in result.rows()])
    for name, runs in every.groupby("representation", sort=False):
        scores = runs.drop(columns="representation")
        spread = scores.std(ddof=1) if len(runs) > 1 else scores.iloc[0] * float("nan")
        yield {
            **{key: getattr(settings, key) for key in SHOWN},
            "title": settings.title,
            "representation": name,
            "protocol": "released" if name == "released" else "paper",
            "runs": len(runs),
            **scores.mean().to_dict(),
            **{f"{column.rpartition('_')[0]}_std_over_seeds_{column.rpartition('_')[2]}": v for column, v in spread.items()},
        }


def _to_markdown(table, study):
    others = [column for column in COLUMNS if column in table and column not in PUBLISHED]
    heads = ["factors", "method", "preset", "β", "γ", "representation", "runs"]
    for column, name in zip(PUBLISHED, ("FactorVAE", "MIG")):
        heads += [name, f"{name} published"] if f"published_{column}" in table else [name]
    heads += [HEADS[column] for column in others]
    lines = []
    for row in table.to_dict("records"):
        variant = row["variant"] if row["variant"] != "standardized" else None  # of which the method's name tells
        method = ", ".join(word for word in (row["title"], variant, row["set_apart_by"]) if word and not pd.isna(word))
        cells = [row["ground_truth"], method, row["preset"], f"{row['beta']:g}", f"{row['gamma']:g}"]
        cells += [row["representation"], row["runs"]]
        for column in PUBLISHED:
            cells.append(in_words(row.get(column), ".2f"))
            cells += [in_words(row[f"published_{column}"], ".2f")] if f"published_{column}" in table else []
        lines.append([*cells, *(in_words(row[column], ".2f") for column in others)])
    return "\n".join([f"# {study}", "", NOTE, "", *markdown(heads, lines)]) + "\n"
