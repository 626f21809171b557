"""Samples of the networks that an adversary trained, with what tells a collapse; of an autoencoder, reconstructions above."""

from pathlib import Path

import pandas as pd

from echo_tf.data.catalog import title_of
from echo_tf.figures import style
from echo_tf.runs.records import unpack_images

COLUMNS = 20


def write(material):
    """Draws <dataset>_<preset>_generators of each dataset and preset; returns the paths of the PNGs."""
    panels = {}
    for result in material.own:
        if result.finished and "samples" in result.record.get("examples", {}) and "collapse" in result.record:
            panels.setdefault((result.settings.dataset, result.settings.preset), []).append(result)
    paths = []
    for (dataset, preset), found in panels.items():
        table = pd.DataFrame({"run": r.settings.run_name, "kind": r.settings.kind, **r.rows()[0]} for r in found)
        title = f"Samples f(z), z ~ N(0, I), {title_of(dataset)}, preset {preset}"
        stem = Path(material.results, "figures", material.study, f"{dataset}_{preset}_generators")
        paths.append(style.save(style.drawn(_draw, found, title), stem, {"": table}))
    return paths


def _draw(found, title):
    rows, labels = [], []
    for result in found:
        for name, images in result.record.get("reconstructed", {}).items():
            rows.append(unpack_images(images))
            labels.append({"images": "test images", "reconstructions": f"{_name(result)}\nreconstructions"}[name])
        rows.append(unpack_images(result.record["examples"]["samples"]))
        collapsed = result.record["collapse"]["signs"]
        labels.append(f"{_name(result)}\n{'signs of a collapse' if collapsed else 'samples'}")
    figure = style.new_figure(7.2, 0.32 + 0.34 * len(rows))
    axes = figure.subplots()
    style.show_images(axes, rows, labels, min(COLUMNS, *(len(row) for row in rows)))
    axes.tick_params(labelsize=6.5)
    axes.set_title(title, fontsize=9)
    return figure


def _name(result):
    return result.settings.variant or f"{result.settings.kind}, {result.settings.latent_dim} latents"
