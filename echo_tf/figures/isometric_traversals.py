"""Figures 6 and 23 of the isometric VAE paper: what each latent dimension shows, the most important ones first."""

from pathlib import Path

import pandas as pd

from echo_tf.figures import style

MOST = 32  # rows


def write(material):
    """Draws <dataset>_<method>_<run>_traversals of each analysed autoencoder of images; returns the paths of the PNGs."""
    paths = []
    for result in material.own:
        if not (result.finished and result.settings.kind == "isometry" and result.settings.model.kind != "toy"):
            continue
        images, model, table = result.arrays("traversals")["images"], result.settings.model, pd.DataFrame(result.rows())
        if images.ndim != 5 or images.shape[-1] not in (1, 3):
            continue
        name = f"{model.dataset}_{model.method}_{result.settings.run_name}_traversals"
        stem = Path(material.results, "figures", material.study, name)
        columns = ["latent", "inverse_variance", "kl_nats"]
        paths.append(style.save(style.drawn(_draw, images[:MOST] / 255, table), stem, {"": table[columns]}))
    return paths


def _draw(images, table):
    figure = style.new_figure(4.6, 0.32 * len(images) + 0.3)
    labels = [f"{value:.3g}" for value in table["inverse_variance"]]
    axes = figure.subplots()
    style.show_images(axes, list(images), labels[: len(images)], images.shape[1])
    axes.set_title("E[σ⁻²], and the code swept from −2 to 2", fontsize=8)
    return figure
