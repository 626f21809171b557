"""Tables of text, an example a line: CSV, and the blank-separated .amat files of Larochelle and others."""

import csv
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from echo_tf.data import naming
from echo_tf.data.arrays import pieces
from echo_tf.data.contents import Contents, Part
from echo_tf.errors import InputError

FEWEST = 8  # the side from which on a square number of pixel-like values a line is an image
MOST_CLASSES = 100  # of a column of labels that no header names
INDICES = ("", "id", "index", "unnamed: 0")


class Layout(NamedTuple):
    """What the first line tells. label, index: columns that hold no values of the example; None where there is none."""

    separator: str
    header: bool
    label: int | None
    index: int | None


def read(path: Path, stream) -> Contents:
    """The examples and labels of a table.

    A column of labels is the first or last; a header names it "label", "target" or "class", or it holds text, or, in a table
    of pixels with one column more than an image has, it is the one of the two that can be labels. A square number of pixels
    (from 8x8), whole numbers of 0..255 or fractions in [0, 1], makes an image, any other a vector.

    Raises:
        InputError: for text among the values, or where the column of labels is left open.
    """
    _, split = naming.of_file(path)
    lines = [stream.readline().decode("utf-8-sig", "replace").strip() for _ in range(2)]
    if not lines[0] or "\0" in lines[0]:
        raise InputError(f"{path} begins with {'bytes of 0' if lines[0] else 'an empty line'}: save it as text in UTF-8.")
    layout = _layout(path, *lines)
    stream.seek(0)
    if layout.header:
        stream.readline()
    values, labels = _columns(path, stream, layout)
    notes = []
    if labels is None:
        values, labels, place = _unnamed_labels(path, values, layout.header)
        notes = [f"the {place} column of {path.name} is taken for labels"] if place else []
    notes += [] if layout.index is None else [f"not used of {path.name}: its column of row numbers"]
    parts = [Part("examples", split, _as_images(values), str(path))]
    if labels is not None:
        parts.append(Part("labels", split, labels, f"the labels of {path}"))
    return Contents(parts, notes)


def _layout(path, first, second):
    separator = next((mark for mark in (",", ";", "\t") if mark in first), None)
    words = first.lstrip("#").split() if separator is None else next(csv.reader([first.lstrip("#")], delimiter=separator))
    words = [word.strip().lower() for word in words]
    coordinates = {"x", "y"} <= set(words)
    labels = [i for i, word in enumerate(words) if word in naming.LABEL_COLUMNS and not (coordinates and word == "y")]
    texts = [i for i, word in enumerate(words) if not _is_number(word)]
    index = 0 if words[0] in INDICES else None
    ends = {0 if index is None else 1, len(words) - 1}
    header = bool(labels) or 2 * len(texts) > len(words) or _counts(path, words, texts, second)
    if not header:
        if len(texts) > 1 or not set(texts) <= ends:
            named = " and ".join(str(i + 1) for i in texts[:2])
            raise InputError(f"{path} has text in column {named}; labels are one column, the first or the last.")
        return Layout(separator or r"\s+", False, texts[0] if texts else None, None)
    if len(labels) > 1 or not set(labels) <= ends:
        named = ", ".join(words[i] for i in labels)
        raise InputError(f"{path} must have one column of labels, the first or the last, got {named} of {len(words)} columns.")
    return Layout(separator or r"\s+", True, labels[0] if labels else None, index)


def _counts(path, words, texts, second):
    """Whether a first line of numbers is a header that counts the columns, as pandas writes it."""
    counted = [word for i, word in enumerate(words) if i not in texts]
    count = len(counted)
    if count < 2 or counted not in ([*map(str, range(count))], [*map(str, range(1, count + 1))]):
        return False
    if count < FEWEST and "." not in second:
        raise InputError(f"{path} begins with {' '.join(words)}, a header or values: name the columns, or leave it out.")
    return True


def _is_number(word):
    try:
        float(word)
    except ValueError:
        return word in ("true", "false")
    return True


def _columns(path, stream, layout):
    """The values (n, d), as small as they can be held, and the column of labels or None."""
    import pandas as pd

    values, labels, rows = [], [], 0
    for piece in pd.read_csv(stream, sep=layout.separator, header=None, encoding="utf-8-sig", chunksize=2000):
        label = None if layout.label is None else piece.columns[layout.label]
        kept = piece.drop(columns=[piece.columns[i] for i in (layout.label, layout.index) if i is not None])
        if label is not None:
            labels.append(_labels(path, piece[label], rows))
        text = [i for i, kind in enumerate(kept.dtypes) if kind.kind not in "biuf"]
        if text:
            raise InputError(
                f"{path} has text ({_first_text(kept.iloc[:, text[0]])[:30]!r}) in column {kept.columns[text[0]] + 1}: "
                "name the column label if it is one, else drop it."
            )
        missing = kept.isna().to_numpy()
        if missing.any():
            raise InputError(f"{path} has nothing (or NaN) in its {rows + int(missing.any(1).argmax()) + 1}th line of values.")
        values.append(_compact(kept.to_numpy()))
        rows += len(piece)
    if not rows or not values[0].shape[1]:
        raise InputError(f"{path} has no line of values.")
    if layout.label is None:
        return np.concatenate(values), None
    if any(piece.dtype.kind not in "biuf" for piece in labels):
        labels = [piece.astype(str) for piece in labels]
    return np.concatenate(values), np.concatenate(labels)


def _labels(path, column, rows):
    if column.isna().any():
        raise InputError(f"{path} has no label in its {rows + int(column.isna().to_numpy().argmax()) + 1}th line of values.")
    return column.to_numpy() if column.dtype.kind in "biuf" else np.array([str(word).strip() for word in column])


def _compact(values):
    if values.dtype.kind == "f":
        return values.astype(np.float32)
    return values.astype(np.uint8) if values.min() >= 0 and values.max() <= 255 else values


def _unnamed_labels(path, values, header):
    """The values without the labels that nothing names, the labels, and "first" or "last".

    They are sought in tables of one column more than an image has: a square number of pixels, or three times one. Of whole
    numbers, a column that only begins or ends them can be labels; of fractions beside pixels in [0, 1] too.
    """
    pixels = values.shape[1] - 1
    square = _is_square(pixels)
    if not square and (pixels % 3 or not _is_square(pixels // 3)):
        return values, None, ""
    integers = values.dtype.kind in "biu"
    fit = [i for i in (0, pixels) if _can_be_labels(values[:, i])]
    if not fit and not (integers and square):
        return values, None, ""  # a vector
    plain = _are_pixels(values[:, 1:-1])
    if header and not plain and not integers:
        return values, None, ""  # all of whose columns have their names
    if len(fit) != 1 or header or not (plain or integers):
        found = "the first or the last column" if fit else "neither the first nor the last column"
        raise InputError(
            f"{path} has {values.shape[1]} columns, one more than {'a square' if square else 'a coloured square'} image, and "
            f"{found} can be labels: name that column label in a header, or leave it out."
        )
    return np.delete(values, fit[0], axis=1), values[:, fit[0]], "last" if fit[0] else "first"


def _can_be_labels(column):
    """Whole numbers from 0, of which some repeat: row numbers do not."""
    number = len(np.unique(column))
    return column.min() >= 0 and 2 <= number <= min(MOST_CLASSES, len(column) - 1) and bool((column == np.rint(column)).all())


def _is_square(number):
    return number >= FEWEST**2 and math.isqrt(number) ** 2 == number


def _are_pixels(values):
    """Whether all are in [0, 1], or whole numbers of 0..255."""
    if values.dtype == np.uint8:
        return True
    low, high = values.min(), values.max()
    if values.dtype.kind != "f" or low < 0 or high > 255:
        return False
    return bool(high <= 1) or all(bool((piece == np.rint(piece)).all()) for piece in pieces(values))


def _as_images(values):
    side = math.isqrt(values.shape[1])
    return values.reshape(-1, side, side) if _is_square(values.shape[1]) and _are_pixels(values) else values


def _first_text(column):
    """The first value of a column that is no number."""
    import pandas as pd

    return str(column[pd.to_numeric(column, errors="coerce").isna()].iloc[0])
