"""Figures of a study, rebuilt from its records alone."""

import io
from pathlib import Path

import numpy as np

from echo_tf import records, tables
from echo_tf.files import write_atomically
from echo_tf.methods import METHODS

# Okabe and Ito's palette, told apart by the colour-blind; with markers, told apart in grey print
STYLES = [("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"), ("#CC79A7", "D"), ("#E69F00", "v"), ("#56B4E9", "P")]


def rate_distortion(results, study, dataset, preset):
    """Rate-distortion curves of a study's methods, and reconstructions under them.

    Writes results/figures/<study>_<dataset>_<preset>.png, .pdf, and the points as .csv, and returns the PNG's path.
    The rate floor of Echo is a dashed line. Reconstructions are averages over 10 encodings (Echo paper, figures 2-3).
    """
    table = tables.summarize(results, study)
    table = table[(table["dataset"] == dataset) & (table["preset"] == preset)].sort_values("rate_nats")
    chosen = [
        record
        for record in records.read_all(results, study)
        if record["status"] == "finished" and (record["config"]["dataset"], record["config"]["preset"]) == (dataset, preset)
    ]
    figure = _draw(table, chosen, dataset)
    stem = Path(results, "figures", f"{study}_{dataset}_{preset}")
    for suffix in (".png", ".pdf"):
        buffer = io.BytesIO()
        # no date in the file: the same records give the same bytes
        figure.savefig(buffer, format=suffix[1:], dpi=150, metadata={"CreationDate": None} if suffix == ".pdf" else {})
        write_atomically(f"{stem}{suffix}", buffer.getvalue())
    write_atomically(f"{stem}.csv", table.to_csv(index=False, float_format="%.6g"))
    return Path(f"{stem}.png")


def _draw(table, chosen, dataset):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4 + 0.45 * (len(chosen) + 1)), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, height_ratios=[4, 0.5 * (len(chosen) + 1)])
    for (method, points), (color, marker) in zip(table.groupby("method", sort=False), STYLES * 2):
        above.plot(points["rate_nats"], points["distortion_nats"], color=color, marker=marker, label=METHODS[method].title)
        for row in points.itertuples():
            above.annotate(
                f"β={row.beta:g}", (row.rate_nats, row.distortion_nats), textcoords="offset points", xytext=(5, 4), fontsize=7
            )
    floors = {record["test"]["rate_floor_nats"] for record in chosen} - {None}
    for floor in floors:
        above.axvline(floor, color="#0072B2", linestyle="--", linewidth=1, label="lowest rate of Echo")
    above.set(xlabel="rate (nats per image)", ylabel="distortion (nats per image)", title=f"{dataset}, test images")
    above.legend()
    _draw_reconstructions(below, chosen)
    return figure


def _draw_reconstructions(axes, chosen):
    """A row of test images, and a row of reconstructions for each run, by rate."""
    chosen = sorted(chosen, key=lambda record: record["test"]["metrics"]["rate_nats"]["mean"])
    rows = [("test images", chosen[0]["examples"]["images"])] + [
        (
            f"{METHODS[r['config']['method']].title}, β={r['config']['beta']:g}, "
            f"{r['test']['metrics']['rate_nats']['mean']:.1f} nats",
            r["examples"]["reconstructions"],
        )
        for r in chosen
    ]
    images = [np.concatenate(list(records.unpack_images(packed)[..., 0]), axis=1) for _, packed in rows]
    axes.imshow(np.concatenate(images), cmap="gray_r", vmin=0, vmax=1, aspect="equal")
    height = images[0].shape[0]
    axes.set(xticks=[], yticks=[height * (i + 0.5) for i in range(len(rows))])
    axes.set_yticklabels([label for label, _ in rows], fontsize=7)
    for side in axes.spines.values():
        side.set_visible(False)
