"""The latent dimensions of each analysed autoencoder, by falling importance (isometric VAE paper, figures 4, 5, 24 and 25)."""

import pandas as pd

from echo_tf.files import write_atomically
from echo_tf.kinds.isometry import trainings
from echo_tf.runs.records import told_apart
from echo_tf.tables import Material
from echo_tf.tables.published import in_words, markdown

SHOWN = 40  # dimensions in the Markdown; the CSV has all
LOSSES = ("distortion", "coding_loss", "transform_loss", "theoretical_coding_loss", "mean_abs_cosine")


def write(material: Material) -> str | None:
    """Writes <study>_dimensions.md and .csv; returns the Markdown, None where no autoencoder is analysed."""
    found = [r for r in material.own if r.finished and r.settings.kind == "isometry" and r.settings.model.kind != "toy"]
    if not found:
        return None
    text, every = [f"# {material.study}", ""], []
    words = told_apart([result.settings for result in found], _shown)
    for result, set_apart_by in zip(found, words):
        table = pd.DataFrame(result.rows())
        model, [training] = result.settings.model, trainings(result.record)
        names = {"run": result.settings.run_name, "dataset": model.dataset, "method": model.method}
        names["beta"] = model.beta
        every.append(table.assign(**names)[[*names, *table.columns]])
        said = ", ".join(f"{name.replace('_', ' ')} {in_words(training['losses'][name], '.4g')}" for name in LOSSES)
        of = ", ".join(filter(None, [*_shown(result.settings), set_apart_by]))
        text += [f"## {of}: {int(table['alive'].sum())} of {len(table)} dimensions alive", "", f"{said}.", ""]
        text += [*_lines(table.head(SHOWN)), ""]
    text = "\n".join(text)
    write_atomically(f"{material.stem}_dimensions.csv", pd.concat(every).to_csv(index=False, float_format="%.9g"))
    write_atomically(f"{material.stem}_dimensions.md", text)
    return text


def _shown(settings):
    model = settings.model
    return [model.dataset, model.method, f"β {model.beta:g}", settings.preset]


def _lines(table):
    heads = ["latent", "KL (nats)", "E[σ⁻²]", "D′", "D′ exact", "norm", "± over images", "norm + σ²", "alive"]
    rows = [
        [
            row["latent"],
            *(f"{row[name]:.3f}" for name in ("kl_nats", "inverse_variance", "derivative", "derivative_jvp")),
            *(f"{row[name]:.3f}" for name in ("norm", "norm_sd", "norm_plus_variance")),
            "yes" if row["alive"] else "no",
        ]
        for row in table.to_dict("records")
    ]
    return markdown(heads, rows)
