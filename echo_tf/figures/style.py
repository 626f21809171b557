"""What every figure shares: a style for each method, panels without a window system, and files with reproducible bytes."""

import contextlib
import io
from pathlib import Path

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from echo_tf.errors import InputError
from echo_tf.files import write_atomically
from echo_tf.methods import METHODS

BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY, YELLOW, BLACK, GREY = "#E69F00", "#56B4E9", "#F0E442", "#000000", "#777777"

# Okabe and Ito's palette, told apart by the colour-blind; with markers and line styles, told apart in grey print.
# Echo and the plain VAE have the strongest pair; a family (VAE, IAF) shares nothing but its order.
STYLES = {
    "echo": (BLUE, "o", "-"),
    "vae": (VERMILLION, "s", (0, (5, 1.5))),
    "info-vae": (GREEN, "^", (0, (4, 1, 1, 1))),
    "vae-maf": (PURPLE, "D", (0, (1, 1))),
    "vae-vamp": (ORANGE, "v", (0, (7, 2))),
    "iaf-prior": (SKY, "P", (0, (3, 1, 1, 1, 1, 1))),
    "iaf-mmd": (BLACK, "X", (0, (2, 1))),
    "iaf-maf": (GREY, "<", (0, (6, 1, 2, 1))),
    "iaf-vamp": (YELLOW, "*", (0, (1, 2))),
}
FURTHER_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")  # hollow, of further curves of a method
SETTINGS = {
    "font.size": 9,
    "axes.labelsize": 9,
    "axes.titlesize": 10,
    "legend.fontsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "pdf.fonttype": 42,  # text stays text in the PDF
    "svg.hashsalt": "echo_tf",
}


class DrawingError(InputError):
    """A figure that could not be drawn: nothing is wrong with what was trained and measured."""


@contextlib.contextmanager
def _drawing(name):
    try:
        yield
    except (InputError, OSError):  # bad input and full disks say so themselves
        raise
    except Exception as error:
        raise DrawingError(
            f"the figure {name!r} cannot be drawn with matplotlib {matplotlib.__version__} ({type(error).__name__}: {error}); "
            "what was trained and measured is stored, and `run.py figures` draws it once that is mended."
        ) from error


def style_of(method):
    """(colour, marker, line style) of a method."""
    return STYLES.get(method, (BLACK, "h", "-"))


def marker_of(method, place):
    """(marker, whether it is hollow) of the curve of a method at this place among those of the method, from 0."""
    own = style_of(method)[1]
    if place < 2:
        return own, place == 1
    others = [marker for marker in FURTHER_MARKERS if marker != own]
    return others[(place - 2) % len(others)], True


def label_of(method):
    """A method's name in the paper's Table 1."""
    return METHODS[method].title if method in METHODS else method


def drawn(draw, *arguments, **keywords):
    """The figure that draw(*arguments) returns, under this module's settings whatever the user's are.

    Raises:
        DrawingError: where drawing fails.
    """
    with _drawing(draw.__module__.rpartition(".")[2]), matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS)
        return draw(*arguments, **keywords)


def new_figure(width, height):
    """An empty figure of this size in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure, stem, tables):
    """Writes <stem>.png and .pdf, and the numbers drawn: DataFrames by ending ("" gives <stem>.csv).

    Returns:
        The path of the PNG.
    """
    stem = Path(stem)
    with _drawing(stem.name), matplotlib.rc_context({**SETTINGS}):
        for suffix in (".png", ".pdf"):
            buffer = io.BytesIO()
            # no date in the file: the same records give the same bytes
            figure.savefig(buffer, format=suffix[1:], dpi=200, metadata={"CreationDate": None} if suffix == ".pdf" else {})
            write_atomically(f"{stem}{suffix}", buffer.getvalue())
            figure.set_layout_engine("none")  # found once for both
    for ending, table in tables.items():
        write_atomically(f"{stem}{ending}.csv", table.to_csv(index=False, float_format="%.6g"))
    return Path(f"{stem}.png")


def of_seeds(number):
    """What a figure says of how many seeds its numbers are of."""
    return "one seed" if number == 1 else f"{number} seeds"


def show_images(axes, rows, labels, columns):
    """Draws rows of images (n, H, W, C) as one sheet, `columns` images a row, labels at the left."""
    import numpy as np

    height, width = rows[0].shape[1:3]
    gap = max(1, height // 14)
    sheet = np.full((len(rows) * (height + gap) - gap, columns * (width + gap) - gap, rows[0].shape[3]), np.nan)
    for i, row in enumerate(rows):
        for j, image in enumerate(row[:columns]):
            sheet[i * (height + gap) :, j * (width + gap) :][:height, :width] = image
    if sheet.shape[2] == 3:
        axes.imshow(np.nan_to_num(sheet, nan=1.0), interpolation="nearest")
    else:
        axes.imshow(sheet[..., 0], cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([(height + gap) * i + (height - 1) / 2 for i in range(len(rows))], labels)
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
