"""The tutorial's figure, and the two cases beside it: R(D) of a binary source, and where a VAE's rate falls to 0."""

from pathlib import Path

import numpy as np

from echo_tf import theory
from echo_tf.figures import style
from echo_tf.tables.tutorial import parts

LOOKS = {
    "linear": (style.BLUE, "-"),
    "factorized": (style.VERMILLION, (0, (5, 1.5))),
    "autoregressive": (style.GREEN, (0, (1, 1))),
}
BETAS = np.array([0.5, 0.7, 0.9, 0.99, 1, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.75, 1.8, 2, 2.5, 3, 3.5, 4, 4.5])


def write(material, unit="bits"):
    """Draws tutorial_<unit>; returns the path of the PNG."""
    found = parts(unit)
    collapse = theory.posterior_collapse(BETAS)
    collapse[f"rate_{unit}"] = theory.in_bits(collapse["rate_nats"].to_numpy()) if unit == "bits" else collapse["rate_nats"]
    binary = found["binary"][1]
    figure = style.drawn(_draw, binary, collapse, unit)
    stem = Path(material.results, "figures", f"{material.study}_{unit}")
    return [style.save(figure, stem, {"": binary.round(12), "_collapse": collapse})]


def _draw(binary, collapse, unit):
    figure = style.new_figure(7.2, 3.2)
    left, right = figure.subplots(1, 2)
    d = np.linspace(0, 0.2, 200)
    exact = theory.bernoulli_rate(d, 0.2)
    left.plot(d, theory.in_bits(exact) if unit == "bits" else exact, color=style.GREY, linewidth=1, label="h(0.2) − h(D)")
    left.plot(binary["distortion"], binary[f"rate_{unit}"], "o", color=style.BLUE, markersize=4, label="Blahut-Arimoto")
    left.set(
        xlabel="distortion (share of bits that are wrong)", ylabel=f"rate ({unit} per symbol)", title="binary source (0.8, 0.2)"
    )
    left.locator_params(axis="x", nbins=5)
    left.legend(frameon=False)
    for decoder, rows in collapse.groupby("decoder"):
        color, dashes = LOOKS[decoder]
        right.plot(rows["beta_vae"], rows[f"rate_{unit}"], color=color, linestyle=dashes, label=f"{decoder} decoder")
    right.set(xlabel="β of a β-VAE", ylabel=f"rate of the optimum ({unit})", title="posterior collapse")
    right.legend(frameon=False)
    return figure
