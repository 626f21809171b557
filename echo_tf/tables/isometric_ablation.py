"""The ablation of the isometric VAE paper (appendix E): norms, variance ratios, correlations with p(x) and losses by lambda."""

from echo_tf.files import write_atomically
from echo_tf.tables import Material
from echo_tf.tables.isometric_toys import LATENTS, preset_of, trainings
from echo_tf.tables.published import in_words, markdown


def write(material: Material) -> str | None:
    """Writes <study>_ablation.csv, all there is, and .md, that of averaged weights; returns the Markdown, None for nothing."""
    table = trainings(material)
    if table.empty:
        return None
    heads = [
        "source",
        "loss",
        "λ",
        "preset",
        *(f"norm {z}" for z in LATENTS),
        "Var ratio z2",
        "z3",
        "KL (nats)",
        "D_C / (nβ/2)",
    ]
    heads += ["D_T / D_C", "R prior", "R exp(−L/β)", "R posterior", "R objective", "|cos|"]
    rows = [
        [row["source"], row["loss"], f"{row['multiplier']:g}", preset_of(row)]
        + [in_words(row[f"norm_{z}"], ".3f") for z in LATENTS]
        + [in_words(row[name], ".2f") for name in ("ratio_z2", "ratio_z3", "rate_nats")]
        + [in_words(row["coding_loss"] / row["theoretical_coding_loss"] if row["theoretical_coding_loss"] else None, ".3f")]
        + [in_words(row["transform_over_coding"], ".3g")]
        + [in_words(row[f"correlation_{name}"], ".3f") for name in ("prior", "bound", "posterior", "objective")]
        + [in_words(row["mean_abs_cosine"], ".3f")]
        for row in table[table["weights"] == "averaged"].to_dict("records")
    ]
    text = "\n".join([f"# {material.study}: all trainings, averaged weights", "", *markdown(heads, rows)]) + "\n"
    write_atomically(f"{material.stem}_ablation.csv", table.drop(columns="apart").to_csv(index=False, float_format="%.9g"))
    write_atomically(f"{material.stem}_ablation.md", text)
    return text
