"""Table 1 of the isometric VAE paper: the dimensions of the VAE on Mix at lambda 100, under the square loss or another.

Averages and standard deviations over the points, of averaged weights, and of those of the last step.
"""

import pandas as pd

from echo_tf.files import write_atomically
from echo_tf.tables import Material
from echo_tf.tables.isometric_toys import IN_TABLES, LATENTS, TITLES, preset_of, trainings
from echo_tf.tables.published import beside, in_words, markdown

QUANTITIES = {  # the paper's -> (ours, in words)
    "estimated_norm_mean": ("norm", "(2/β) σ² D′, average"),
    "estimated_norm_std": ("norm_sd", "(2/β) σ² D′, SD"),
    "d_prime_mean": ("derivative", "D′, average"),
    "d_prime_std": ("derivative_sd", "D′, SD"),
    "inverse_variance_mean": ("inverse_variance", "σ⁻², average"),
    "variance_ratio": ("ratio", "ratio to z1"),
}


def write(material: Material, loss: str = "square") -> str | None:
    """Writes <study>_table1.md and .csv; returns the Markdown, None without such a training."""
    every = trainings(material)
    if every.empty:
        return None
    chosen = every[(every["source"] == "mix") & (every["loss"] == loss) & (every["multiplier"] == IN_TABLES)]
    if chosen.empty:
        return None
    table = beside(pd.DataFrame([line for row in chosen.to_dict("records") for line in _lines(row)]), material)
    printed = [f"published_{latent}" for latent in LATENTS if f"published_{latent}" in table]
    heads = ["preset", "epochs", "seed", "weights", "", *LATENTS, *(f"the paper's {name[-2:]}" for name in printed)]
    rows = [
        [row["preset"], row["epochs"], row["seed"], row["weights"], QUANTITIES[row["quantity"]][1]]
        + [in_words(row[name], ".4g") for name in (*LATENTS, *printed)]
        for row in table.to_dict("records")
    ]
    number = {"square": 1, "down": 2}[loss]
    title = f"# {material.study}: Table {number}, Mix, {TITLES[loss].replace('_', ' ')} loss, λ = {IN_TABLES:g}"
    text = "\n".join([title, "", *markdown(heads, rows)]) + "\n"
    write_atomically(f"{material.stem}_table{number}.csv", table.to_csv(index=False, float_format="%.9g"))
    write_atomically(f"{material.stem}_table{number}.md", text)
    return text


def _lines(row):
    shared = {name: row[name] for name in ("source", "preset", "epochs", "points", "seed", "weights")}
    shared["preset"] = preset_of(row)
    for quantity, (name, _) in QUANTITIES.items():
        values = {latent: row.get(f"{name}_{latent}", 1.0) for latent in LATENTS}  # the ratio of z1 to itself
        yield {**shared, "loss": TITLES[row["loss"]], "quantity": quantity, **values}
