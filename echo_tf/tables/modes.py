"""Of how many images all chains miss the best mode: log Z at the highest beta against exact values, by sampler (ours)."""

import numpy as np
import pandas as pd

from echo_tf.files import write_atomically
from echo_tf.tables import Material
from echo_tf.tables.annealed_curves import parts_of_curves
from echo_tf.tables.published import markdown

LOST = 5.0  # nats below the exact log Z, which no image is whose best mode has a chain


def write(material: Material) -> str | None:
    """Writes <study>_modes.md and .csv; returns the Markdown, None where no curve has exact values."""
    table = summary(parts_of_curves(material.own))
    if table.empty:
        return None
    heads = [
        "sampler",
        "preset",
        "seeds",
        "images",
        "β",
        "images lost",
        "worst error (nats)",
        "mean error of the others (nats)",
    ]
    rows = [
        [*row[:5], f"{row[5]} of {row[2] * row[3]}", f"{row[6]:.2f}", f"{row[7]:.3f}"]
        for row in table.itertuples(index=False, name=None)
    ]
    text = "\n".join([f"# {material.study}", "", *markdown(heads, rows)]) + "\n"
    write_atomically(f"{material.stem}_modes.csv", table.to_csv(index=False, float_format="%.6g"))
    write_atomically(f"{material.stem}_modes.md", text)
    return text


def summary(found) -> pd.DataFrame:
    """A row a sampler (label): images counted as lost in any seed, and the errors of log Z at the highest beta, nats."""
    errors = {}
    for _, parts in found:
        settings, arrays = parts[0].settings, [part.arrays("images") for part in parts]
        if all("exact_log_z" in one for one in arrays):
            of_images = np.concatenate([one["exact_log_z"][-1] - one["log_z"][-1] for one in arrays])
            errors.setdefault((settings.label, settings.preset, settings.max_beta), []).append(of_images)
    rows = []
    for (label, preset, beta), runs in errors.items():
        of_all = np.concatenate(runs)
        lost = of_all > LOST
        said = {"sampler": label, "preset": preset, "seeds": len(runs), "images": len(runs[0]), "beta": beta}
        kept = np.abs(of_all[~lost]).mean() if not lost.all() else np.nan
        rows.append({**said, "lost": int(lost.sum()), "worst_error_nats": of_all.max(), "mean_abs_error_nats": kept})
    return pd.DataFrame(rows)
