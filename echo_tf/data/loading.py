"""From a dataset's name to its images. Reads what is in the data directory and never touches the network."""

import functools
import os
from pathlib import Path

import numpy as np

from echo_tf.data import readers
from echo_tf.data.catalog import CATALOG
from echo_tf.data.images import ImageData, as_images, check_known
from echo_tf.errors import InputError
from echo_tf.files import sha256


def data_directory(directory=None):
    """The data directory: `directory`, else ECHO_TF_DATA, else that of TensorFlow Datasets."""
    default = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return Path(directory or os.environ.get("ECHO_TF_DATA") or default).expanduser()


def load(name, directory=None):
    """Loads a dataset by name.

    Looked for in this order: a prepared TFDS dataset in the data directory; the canonical .npz there.
    "digits" comes with scikit-learn.

    Args:
        name: a key of `CATALOG`, or the name of a dataset made by `run.py data import`.
        directory: the data directory; see `data_directory`.

    Returns:
        An `ImageData`.

    Raises:
        InputError: if the data are not there (the message says how to get them) or not what they should be.
    """
    directory = data_directory(directory)
    prepared = find_prepared(name, directory)
    known = CATALOG.get(name)
    if prepared is not None:
        return _load_prepared(name, prepared)
    if name == "digits":
        return digits()
    if known is None:
        raise InputError(
            f"no dataset {name!r} in {directory}; known are {', '.join(CATALOG)}; "
            f"your own images: run.py data import {name} FILE.npz"
        )
    path = directory / known.file
    if not path.is_file():
        raise InputError(
            f"{name} is not in {directory}: neither a prepared TFDS dataset {name}/ nor {known.file}; get it with: {known.get}"
        )
    return _load_canonical(name, path)


@functools.lru_cache(maxsize=4)
def load_once(name, directory):
    """`load`, keeping the last four datasets in memory: the runs of a study share them, and their hashes."""
    return load(name, directory)


def find_prepared(name, directory):
    """The folder of the newest prepared TFDS dataset of this name, ours or TFDS's own, or None."""
    known = CATALOG.get(name)
    for folder in filter(None, (name, known and known.tfds)):
        infos = (directory / folder).glob("**/dataset_info.json")
        versions = [info.parent for info in infos if info.parent.name.replace(".", "").isdigit()]  # none that is incomplete
        if versions:
            return max(versions, key=lambda version: [int(part) for part in version.name.split(".")])
    return None


def _load_canonical(name, path):
    known = CATALOG[name]
    found = sha256(path)
    if found != known.sha256:
        with open(path, "rb") as file:
            if file.read(64).lstrip()[:1] == b"<":
                raise InputError(f"{path} is an HTML page, not data: download the file itself.")
        raise InputError(
            f"{path} is damaged or another file (SHA-256 {found[:12]}..., known {known.sha256[:12]}...): "
            f"replace it, or rename it and take it as it is with: run.py data import {name} FILE"
        )
    splits, labels, maximum = as_images(readers.read(path), path)
    check_known(known, splits, maximum, path)
    return ImageData(name, known.variant, f"npz {known.file}", splits, maximum, labels)


def _load_prepared(name, folder):
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(folder)
    where = f"tfds {builder.info.full_name}"
    arrays = {}
    for split in builder.info.splits:
        ours = "valid" if split == "validation" else split
        if ours in ("train", "valid", "test"):
            examples = tfds.as_numpy(builder.as_dataset(split=split, batch_size=-1))
            arrays[f"x_{ours}"], arrays[f"y_{ours}"] = examples["image"], examples.get("label")
    splits, labels, maximum = as_images(arrays, where)
    known = CATALOG.get(name)
    if known is not None:
        check_known(known, splits, maximum, where)
    imported = folder.parent.name == name and "imported" in (builder.info.description or "")
    variant = builder.info.description.splitlines()[0] if imported else "as in TensorFlow Datasets"
    return ImageData(name, variant, where, splits, maximum, labels)


def digits():
    """scikit-learn's 1,797 handwritten digits as 28 x 28 binary images, split 1,500 / 297; the same bits every time.

    Grey levels are scaled up from 8 x 8 by linear interpolation; each pixel is then drawn once, as 1 with the
    probability of its level (static binarization, as Larochelle's for MNIST).
    """
    from scipy.ndimage import zoom
    from sklearn.datasets import load_digits

    source = load_digits()
    levels = np.stack([zoom(image / 16.0, 28 / 8, order=1, grid_mode=True, mode="nearest") for image in source.images])
    rng = np.random.default_rng(0)
    x = (rng.random(levels.shape) < levels).astype(np.uint8)[..., None]
    order = rng.permutation(len(x))
    rows = {"train": order[:1500], "test": order[1500:]}
    splits = {split: x[chosen] for split, chosen in rows.items()}
    labels = {split: source.target[chosen] for split, chosen in rows.items()}
    return ImageData("digits", CATALOG["digits"].variant, "scikit-learn", splits, 1, labels)
