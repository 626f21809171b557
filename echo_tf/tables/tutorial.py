"""The tables of the tutorial on rate-distortion theory, computed anew with the exact values beside. No records."""

import numpy as np
import pandas as pd

from echo_tf import theory
from echo_tf.files import write_atomically
from echo_tf.tables import Material
from echo_tf.tables.published import in_words, markdown

SHOWN = 5  # every fifth row of the binary demo, as the tutorial prints it


def write(material: Material, unit: str = "bits") -> str:
    """Writes <study>_<table>_<unit>.csv of each table and <study>_<unit>.md with all; returns the Markdown."""
    texts = [f"# {material.study}, rates in {unit}"]
    for name, (title, table, shown) in parts(unit).items():
        text = table.round(12).to_csv(index=False, float_format="%.9g")  # the same bytes on every machine
        write_atomically(f"{material.stem}_{name}_{unit}.csv", text)
        cells = [[v if isinstance(v, str) else in_words(v, ".4f") for v in row] for row in shown.itertuples(index=False)]
        texts += ["", title, "", *markdown([column.replace("_", " ") for column in shown], cells)]
    text = "\n".join(texts) + "\n"
    write_atomically(f"{material.stem}_{unit}.md", text)
    return text


def parts(unit: str) -> dict:
    """{name: (title, table, the part of it that is shown)}. Raises ValueError for a unit other than "bits" and "nats"."""
    binary = theory.binary_demo(unit)
    gaussian = theory.gaussian_demo(unit, num_points=201)
    collapse = theory.posterior_collapse()
    collapse = theory.in_bits(collapse) if unit == "bits" else collapse
    losses = _losses(unit)
    return {
        "binary": (
            "A source (0.8, 0.2) under Hamming distortion; it needs no rate up to β = ln 4",
            binary,
            binary.iloc[::SHOWN],
        ),
        "gaussian": ("A standard normal source under squared error", gaussian, gaussian),
        "losses": (
            "What is rate and what is distortion in a VAE's loss, distortion + β_vae rate, of the same random images and codes",
            losses,
            losses,
        ),
        "collapse": ("Where the rate of an optimal VAE falls to 0, though its decoder could use it", collapse, collapse),
    }


def _losses(unit):
    """Demo 2 on random images and codes of its shapes, and example 2."""
    rng = np.random.default_rng(0)
    x, output = rng.random((2, 32, 784))
    code = rng.normal(size=(32, 16)), 0.1 * rng.normal(size=(32, 16))
    rows = []
    for distortion, beta in (("bernoulli", 1.0), ("gaussian", 1.0), ("squared_error", 1.0), ("squared_error", 5.0)):
        found = theory.vae_loss_split(x, output, *code, distortion, beta)
        rate = found.rate_bits if unit == "bits" else found.rate_nats
        rows.append(
            [distortion, beta, rate, found.distortion, found.loss, found.rate_distortion_beta, found.squared_error_beta]
        )
    columns = [
        "distortion",
        "beta_vae",
        f"rate_{unit}",
        "distortion_value",
        "loss",
        "rate_distortion_beta",
        "squared_error_beta",
    ]
    return pd.DataFrame(rows, columns=columns)
