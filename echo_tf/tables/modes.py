"""Of how many images all chains miss the best mode: log Z at the highest beta against the best of all runs (ours)."""

import numpy as np
import pandas as pd

from echo_tf.files import write_atomically
from echo_tf.tables import Material
from echo_tf.tables.annealed_curves import parts_of_curves
from echo_tf.tables.published import markdown

LOST = 5.0  # nats of log Z, which is bounded from below in expectation, so that the highest of several runs is the best known


def write(material: Material) -> str | None:
    """Writes <study>_modes.md and .csv; returns the Markdown, None where there are no curves."""
    table = summary(parts_of_curves(material.own))
    if table.empty:
        return None
    heads = ["sampler", "preset", "seeds", "images", "β", "images lost", "worst (nats)", "mean of the others (nats)"]
    rows = [
        [*row[:5], f"{row[5]} of {row[2] * row[3]}", f"{row[6]:.2f}", f"{row[7]:.3f}"]
        for row in table.itertuples(index=False, name=None)
    ]
    note = f"An image is lost where log Z is more than {LOST:g} nats below the best of all runs; how far below, on the right."
    text = "\n".join([f"# {material.study}", "", note, "", *markdown(heads, rows)]) + "\n"
    write_atomically(f"{material.stem}_modes.csv", table.to_csv(index=False, float_format="%.6g"))
    write_atomically(f"{material.stem}_modes.md", text)
    return text


def summary(found) -> pd.DataFrame:
    """A row a sampler (label): images lost in any seed, and how far log Z is below the best of all runs, nats."""
    runs = {}
    for _, parts in found:
        settings = parts[0].settings
        log_z = np.concatenate([part.arrays("images")["log_z"][-1] for part in parts])
        alike = settings.preset, float(settings.max_beta), len(log_z)
        runs.setdefault(alike, {}).setdefault(settings.label, []).append(log_z)
    rows = []
    for (preset, beta, number), samplers in runs.items():
        best = np.max([log_z for every in samplers.values() for log_z in every], axis=0)
        for label, every in samplers.items():
            below = best - np.array(every)
            lost = below > LOST
            said = {"sampler": label, "preset": preset, "seeds": len(every), "images": number, "beta": beta}
            kept = below[~lost].mean() if not lost.all() else np.nan
            rows.append({**said, "lost": int(lost.sum()), "worst_below_best_nats": below.max(), "mean_below_best_nats": kept})
    return pd.DataFrame(rows)
