"""From a dataset's name to its examples. Reads what is in the data directory and never touches the network."""

import functools
import os
from pathlib import Path

from echo_tf.data import canonical, prepared
from echo_tf.data.catalog import CATALOG
from echo_tf.data.dataset import Dataset
from echo_tf.errors import InputError, nearest


def data_directory(directory: str | Path | None = None) -> Path:
    """The data directory: `directory`, else ECHO_TF_DATA, else that of TensorFlow Datasets."""
    default = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return Path(directory or os.environ.get("ECHO_TF_DATA") or default).expanduser()


def load(name: str, directory: str | Path | None = None) -> Dataset:
    """Loads a dataset by name.

    Looked for in this order: a prepared TFDS dataset in the data directory; the canonical files there.
    "digits" comes with scikit-learn.

    Args:
        name: a key of `CATALOG`, or the name of a dataset made by `run.py data import` or by TFDS.
        directory: the data directory; see `data_directory`.

    Raises:
        InputError: if the data are not there (the message says how to get them) or not what they should be.
    """
    if not isinstance(name, str):
        raise InputError(f"a dataset has a name, such as {', '.join(CATALOG)}, got {name!r}.")
    directory = data_directory(directory)
    folder = prepared.find(name, directory)
    if folder is not None:
        from echo_tf.data import tfds_reading

        return tfds_reading.load(name, folder)
    if name == "digits":
        from echo_tf.data.digits import digits

        return digits()
    if canonical.are_there(name, directory):
        return canonical.load(name, directory)
    if name not in CATALOG:
        own = prepared.own_names(directory)
        raise InputError(
            f"no dataset {name!r} in {directory}{nearest(name, [*CATALOG, *own])}; known are {', '.join([*CATALOG, *own])}; "
            f"your own data: run.py data import {name} FILE"
        )
    known = CATALOG[name]
    raise InputError(
        f"{name} is not in {directory}: neither a prepared TFDS dataset {name}/ nor {', '.join(known.files)}; "
        f"get it with: {known.get}"
    )


@functools.lru_cache(maxsize=4)
def load_once(name: str, directory: str | Path | None) -> Dataset:
    """`load`, keeping the last four datasets in memory: the runs of a study share them, and their hashes."""
    return load(name, directory)
