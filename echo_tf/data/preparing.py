"""Bringing datasets in: `run.py data import` and `run.py data fetch` write TFDS datasets into the data directory."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from echo_tf.data import dsprites, prepared, readers, storing, tfds_reading
from echo_tf.data.catalog import CATALOG, FETCHABLE
from echo_tf.data.contents import said_of
from echo_tf.data.dataset import Dataset
from echo_tf.data.gathering import gather
from echo_tf.data.labels import as_classes, as_factors
from echo_tf.data.layout import as_examples
from echo_tf.data.values import as_values
from echo_tf.errors import InputError, nearest
from echo_tf.files import check_writable, sha256

TEST_FRACTION = 0.1  # of examples that come without splits and without factors
SEED = 0


class Imported(NamedTuple):
    """data: what was written. folder: where. notes: what the user should know of how it was read."""

    data: Dataset
    folder: Path
    notes: list


def import_files(
    name: str,
    paths: Sequence[str | Path],
    directory: Path,
    limits: tuple | None = None,
    test_fraction: float | None = None,
    shape: Sequence[int] | None = None,
) -> Imported:
    """Writes the examples of files, or of folders of images, as the TFDS dataset `name`.

    Args:
        name: of the dataset: lower-case letters, digits and _.
        paths: see `readers.read`.
        directory: the data directory.
        limits: the range (low, high) of the values, where they do not tell.
        test_fraction: share of the test part that is drawn, with a fixed seed, from examples whose files name no split. None:
            a tenth; of examples with factors of variation, nothing.
        shape: of an image, where files hold it as a row of values.

    Raises:
        InputError: if the files are not what `name` should be, leave something open, or the dataset is already there.
    """
    _check_name(name, directory)
    check_writable(directory)
    if name == "dsprites":
        data, notes = dsprites.read_original(paths), []
    else:
        data, notes = read(name, paths, limits, test_fraction, shape)
    if name in CATALOG:
        tfds_reading.check_known(CATALOG[name], data)
    with storing.alone(name, directory):
        _check_name(name, directory)
        return Imported(data, storing.store(data, directory), notes)


def read(
    name: str,
    paths: Sequence[str | Path],
    limits: tuple | None = None,
    test_fraction: float | None = None,
    shape: Sequence[int] | None = None,
) -> tuple[Dataset, list[str]]:
    """The dataset that files hold, and notes on how they were read; see `import_files`."""
    if test_fraction is not None and not 0 <= test_fraction < 1:
        raise InputError(f"the test part must be a fraction from 0 to below 1, got {test_fraction:g}.")
    contents = [readers.read(path) for path in paths]
    notes = [note for one in contents for note in one.notes]
    with said_of(" ".join(Path(path).name for path in paths[:3]) + (" ..." if len(paths) > 3 else "")):
        found = gather([part for one in contents for part in one.parts], notes)
        del contents
        if shape and any(Path(path).suffix.lower() == ".mat" for path in paths):
            raise InputError(
                "--shape is not for .mat files, whose rows may be images written column by column: save (n, H, W)."
            )
        splits, more = as_examples(found.examples, shape)
        found.examples.clear()  # they are held once
        splits, maximum, limits = as_values(splits, limits)
        labels, class_names = as_classes(found.labels)
        factors, factor_sizes = as_factors(found.factors) if found.factors else ({}, ())
    variant = f"imported from {_origin(paths)}"
    if found.whole:
        parts = [splits, labels, factors]
        part = _draw_test_part(parts, (0 if factors else TEST_FRACTION) if test_fraction is None else test_fraction)
        variant += part and f"; {part}"
    elif test_fraction not in (None, TEST_FRACTION):
        notes.append("no test part was drawn: the names of the files say the splits")
    data = Dataset(
        name,
        variant,
        _origin(paths),
        splits,
        maximum,
        labels,
        limits,
        class_names or _names_of_numbers(found.class_names, labels),
        factors,
        _factor_names(found.factor_names, factor_sizes),
        factor_sizes,
    )
    return data, notes + more


def fetch(name: str, directory: Path) -> Path:
    """Downloads a dataset with TFDS, unless it is there: the only command that touches the network. Returns its folder."""
    known = CATALOG.get(name)
    if known is None or known.tfds is None:
        hint = f" Get it with: {known.get}" if known else nearest(name, FETCHABLE)
        raise InputError(f"fetch knows {', '.join(FETCHABLE)}, got {name!r}.{hint}")
    existing = prepared.find(name, directory)
    if existing is not None:
        return existing
    check_writable(directory)
    with storing.alone(known.tfds, directory):
        try:
            tfds_reading.import_tfds().builder(known.tfds, data_dir=directory, try_gcs=False).download_and_prepare()
        except Exception as error:  # TFDS passes on whatever the network library raised
            said = " ".join(str(error).split())[:300]
            raise InputError(f"TFDS could not download {known.tfds}: {type(error).__name__}: {said}") from error
    return prepared.find(name, directory)


def _check_name(name, directory):
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise InputError(f"a dataset's name is lower-case letters, digits and _, got {name!r}.")
    if name == "downloads" or (name in CATALOG and not CATALOG[name].files):
        raise InputError(f"the name {name!r} is taken; give the dataset another.")
    existing = prepared.find(name, directory)
    if existing is not None:
        raise InputError(f"{name} is already prepared in {existing}; remove that folder to import it anew.")


def _origin(paths):
    """The files and their hashes, for the variant."""
    words = [f"the folder {Path(path).resolve().name}" for path in paths if Path(path).is_dir()]
    files = [Path(path) for path in paths if not Path(path).is_dir()]
    if files:
        words.append(f"{' '.join(path.name for path in files)} (SHA-256 {' '.join(sha256(path)[:12] for path in files)})")
    return " and ".join(words)


def _draw_test_part(parts, fraction):
    """Moves a random part of "train" to "test" in all of `parts`; both stay in order. Returns what was done, in words."""
    number = len(parts[0]["train"])
    chosen = round(number * fraction)
    if not chosen:
        return ""
    if chosen == number:
        raise InputError(f"a test part of {fraction:g} leaves nothing of {number} examples to train on.")
    is_test = np.zeros(number, bool)
    is_test[np.random.default_rng(SEED).permutation(number)[:chosen]] = True
    for part in parts:
        if part:
            part["train"], part["test"] = part["train"][~is_test], part["train"][is_test]
    return f"{fraction:g} of it, drawn with seed {SEED}, is the test part"


def _names_of_numbers(names, labels):
    """Names that a file gives for the classes 0, 1, ..., if they are as many as the labels need."""
    if not names or not labels:
        return ()
    low, high = min(y.min() for y in labels.values()), max(y.max() for y in labels.values())
    if low < 0 or high >= len(names) or len(set(names)) < len(names):
        raise InputError(f"there are {len(names)} names of classes for labels {low}..{high}.")
    return names


def _factor_names(names, sizes):
    if names and len(names) != len(sizes):
        raise InputError(f"there are {len(names)} names for {len(sizes)} factors.")
    return names or tuple(f"factor{i}" for i in range(len(sizes)))
