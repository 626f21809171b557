"""Curves of annealed importance sampling: some points of each, and how far to trust them; the CSV has every point."""

import numpy as np
import pandas as pd

from echo_tf.files import write_atomically
from echo_tf.kinds import ais
from echo_tf.tables import Material
from echo_tf.tables.annealed_curves import curves
from echo_tf.tables.published import markdown

SHOWN = 6  # points of a curve in the Markdown


def write(material: Material) -> str | None:
    """Writes <study>_annealed.md and .csv; returns the Markdown, None where there is no formal round."""
    found = curves(material.own, material.every)
    if not found:
        return None
    lines, every = [], []
    for curve in found:
        table = curve.points.assign(curve=curve.name, preset=curve.settings.preset, images=curve.images)
        every.append(table[["curve", "preset", "images", *curve.points.columns]])
        for i in np.unique(np.linspace(0, len(table) - 1, SHOWN).round().astype(int)):
            lines.append(_line(curve, table.iloc[i]))
    columns = [
        "curve",
        "preset",
        "images",
        "beta",
        "rate (nats)",
        "distortion",
        "−log Z (nats)",
        "± (nats)",
        "effective chains",
    ]
    columns += ["error (nats)", "BDMC gap (nats)"]
    text = "\n".join([f"# {material.study}", "", *markdown(columns, lines)]) + "\n"
    write_atomically(f"{material.stem}_annealed.csv", pd.concat(every).to_csv(index=False, float_format="%.9g"))
    write_atomically(f"{material.stem}_annealed.md", text)
    return text


def _line(curve, point):
    unit = ais.unit_of(point)
    error = "–" if "exact_neg_log_z_nats" not in point else f"{point['neg_log_z_nats'] - point['exact_neg_log_z_nats']:+.3f}"
    near = [gap for gap in curve.gaps if abs(np.log(gap["beta"] / point["beta"])) < 0.02]
    return [
        curve.name,
        curve.settings.preset,
        curve.images,
        f"{point['beta']:.3g}",
        f"{point['rate_nats']:.2f}",
        f"{point[f'distortion_{unit}']:.2f} {unit}",
        f"{point['neg_log_z_nats']:.2f}",
        f"{point['neg_log_z_standard_error_nats']:.2f}",
        f"{point['effective_chains']:.1f} of {curve.settings.num_chains}",
        error,
        f"{near[0]['gap_nats']:.2f}" if near else "–",
    ]
