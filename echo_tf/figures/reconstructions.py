"""What curves look like at their ends (AIS paper, figures 11 and 12): images, each as the decoder gives it at the highest rate
of its curve, and at rate 0, where it is a draw of the prior."""

from pathlib import Path

import pandas as pd

from echo_tf.data.catalog import title_of
from echo_tf.figures import style
from echo_tf.runs.records import unpack_images
from echo_tf.tables.annealed_curves import parts_of_curves


def write(material):
    """Draws <dataset>_<preset>_reconstructions of each dataset and preset; returns the paths of the PNGs."""
    panels = {}
    for name, parts in parts_of_curves(material.own):
        if "reconstructions" in parts[0].record:
            settings = parts[0].settings
            panels.setdefault((settings.model.dataset, settings.preset), []).append((name, parts[0]))
    paths = []
    for (dataset, preset), found in panels.items():
        table = pd.DataFrame({"curve": name, **_end(result)} for name, result in found)
        title = f"Reconstructions at the ends of curves, {title_of(dataset)}, preset {preset}"
        stem = Path(material.results, "figures", material.study, f"{dataset}_{preset}_reconstructions")
        paths.append(style.save(style.drawn(_draw, found, title), stem, {"": table}))
    return paths


def _end(result):
    """Where a curve ends: the last of its rows, without what its exact values are."""
    row = result.rows()[-1]
    return {key: value for key, value in row.items() if not key.startswith("exact_")}


def _draw(found, title):
    rows, labels = [unpack_images(found[0][1].record["reconstructions"]["images"])], ["test images"]
    for name, result in found:
        packed = result.record["reconstructions"]
        rows += [unpack_images(packed["high_rate"]), unpack_images(packed["low_rate"])]
        labels += [f"{name}\nβ = {packed['high_rate_beta']:.3g}", "β = 0"]
    figure = style.new_figure(5.2, 0.32 + 0.42 * len(rows))
    axes = figure.subplots()
    style.show_images(axes, rows, labels, min(len(row) for row in rows))
    axes.tick_params(labelsize=7)
    axes.set_title(title, fontsize=9)
    return figure
