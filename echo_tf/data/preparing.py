"""Bringing datasets in: `run.py data import` and `run.py data fetch` write TFDS datasets into the data directory."""

from pathlib import Path

import numpy as np

from echo_tf.data import readers
from echo_tf.data.catalog import CATALOG
from echo_tf.data.images import as_images, check_known
from echo_tf.data.loading import find_prepared, load
from echo_tf.errors import InputError
from echo_tf.files import check_writable, sha256


def import_files(name, paths, directory):
    """Writes the images of `paths` (npz, amat, mat, idx.gz) as the TFDS dataset `name`, and returns its folder.

    Raises:
        InputError: if the files are not what `name` should be, or the dataset is already there.
    """
    import tensorflow_datasets as tfds

    if not name.isidentifier() or name != name.lower():
        raise InputError(f"a dataset's name is lower-case letters, digits and _, got {name!r}.")
    existing = find_prepared(name, directory)
    if existing is not None:
        raise InputError(f"{name} is already prepared in {existing}; remove that folder to import it anew.")
    check_writable(directory)
    arrays = {}
    for path in paths:
        arrays.update(readers.read(path))
    where = " ".join(Path(path).name for path in paths)
    splits, labels, maximum = as_images(arrays, where)
    if name in CATALOG:
        check_known(CATALOG[name], splits, maximum, where)
    features = {"image": tfds.features.Image(shape=splits["train"].shape[1:])}
    if labels.keys() == splits.keys():
        features["label"] = tfds.features.Scalar(dtype=np.int64)
    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        version="1.0.0",
        features=tfds.features.FeaturesDict(features),
        split_datasets={split: _examples(x, labels[split] if "label" in features else None) for split, x in splits.items()},
        data_dir=directory,
        description=f"imported from {where} (SHA-256 {' '.join(sha256(p)[:12] for p in paths)})",
        disable_shuffling=True,
    )
    return find_prepared(name, directory)


def fetch(name, directory):
    """Downloads a dataset with TFDS: the only command that touches the network."""
    import tensorflow_datasets as tfds

    known = CATALOG.get(name)
    if known is None or known.tfds is None:
        ready = [key for key, value in CATALOG.items() if value.tfds]
        hint = f" Get it with: {known.get}" if known else ""
        raise InputError(f"fetch knows {', '.join(ready)}, got {name!r}.{hint}")
    check_writable(directory)
    try:
        tfds.builder(known.tfds, data_dir=directory, try_gcs=False).download_and_prepare()
    except Exception as error:  # TFDS passes on whatever the network library raised
        raise InputError(f"TFDS could not download {known.tfds}: {type(error).__name__}: {error}".splitlines()[0]) from error
    return find_prepared(name, directory)


def verify(names, directory):
    """Loads each dataset with all its checks; yields (name, ImageData, or the InputError that says what is wrong)."""
    for name in names:
        try:
            yield name, load(name, directory)
        except InputError as error:
            yield name, error


def _examples(images, labels):
    for i, image in enumerate(images):
        yield i, {"image": image} if labels is None else {"image": image, "label": int(labels[i])}
