"""The canonical files of the catalogue's datasets, known by their hashes, and how each is decoded."""

from pathlib import Path

import numpy as np

from echo_tf.data.arrays import PackedImages
from echo_tf.data.catalog import CATALOG
from echo_tf.data.dataset import Dataset
from echo_tf.data.readers import refuse_no_data
from echo_tf.errors import InputError
from echo_tf.files import sha256

SPLITS = ("train", "valid", "test")


def load(name: str, directory: Path) -> Dataset:
    """A dataset of the catalogue from its canonical files, all of which are there.

    Raises:
        InputError: for a file that is not the one that is known.
    """
    known = CATALOG[name]
    for file, expected in known.files.items():
        _check(directory / file, expected)
    splits, labels = DECODERS.get(name, _plain)([directory / file for file in known.files])
    return Dataset(
        name,
        known.variant,
        f"npz {' '.join(known.files)}",
        splits,
        known.maximum,
        {split: array.astype(np.int64) for split, array in labels.items()},
        factors={"train": grid(known.factors.values())} if known.factors else {},
        factor_names=tuple(known.factors),
        factor_sizes=tuple(known.factors.values()),
        checked="the known SHA-256 of its file" + ("s" if len(known.files) > 1 else ""),
    )


def are_there(name: str, directory: Path) -> bool:
    """Whether the data directory has the canonical files of a dataset."""
    files = CATALOG[name].files if name in CATALOG else {}
    return bool(files) and all((directory / file).is_file() for file in files)


def grid(sizes) -> np.ndarray:
    """All combinations of factors of these sizes, the last changing fastest: integers (product of sizes, F)."""
    sizes = tuple(sizes)
    places = np.unravel_index(np.arange(np.prod(sizes)), sizes)
    return np.stack([place.astype(np.min_scalar_type(max(sizes) - 1)) for place in places], axis=1)


def _check(path, expected):
    found = sha256(path)
    if found == expected:
        return
    with open(path, "rb") as file:
        refuse_no_data(path, file.read(1024))
    raise InputError(
        f"{path} is damaged or another file (SHA-256 {found[:12]}..., known {expected[:12]}...): "
        "replace it, or rename it and take it as it is with: run.py data import NAME FILE"
    )


def _plain(paths):
    """x_train, x_test (n, 28, 28) and perhaps x_valid and y_*."""
    with np.load(paths[0], allow_pickle=False) as file:
        splits = {split: file[f"x_{split}"][..., None] for split in SPLITS if f"x_{split}" in file}
        return splits, {split: file[f"y_{split}"] for split in SPLITS if f"y_{split}" in file}


def _cifar10(paths):
    """Differences down and along each row, and of red and blue from green, modulo 256."""
    splits, labels = {"train": [], "test": []}, {"train": [], "test": []}
    for path in paths:
        split = "test" if "test" in path.name else "train"
        with np.load(path, allow_pickle=False) as file:
            x = file["residual"]
            labels[split].append(file["y"])
        for axis in (2, 3):
            np.cumsum(x, axis=axis, dtype=np.uint8, out=x)
        x[:, 0] += x[:, 1]
        x[:, 2] += x[:, 1]
        splits[split].append(x)
    joined = {split: np.empty((sum(map(len, x)), 32, 32, 3), np.uint8) for split, x in splits.items()}
    for split, parts in splits.items():
        np.concatenate([x.transpose(0, 2, 3, 1) for x in parts], out=joined[split])
    return joined, {split: np.concatenate(y) for split, y in labels.items()}


def _dsprites(paths):
    with np.load(paths[0], allow_pickle=False) as file:
        return {"train": PackedImages(file["imgs_packed"], (64, 64, 1))}, {}


def _omniglot_105(paths):
    with np.load(paths[0], allow_pickle=False) as file:
        bits, characters, background = file["images_packed"], file["char_id"], file["is_background"]
    rows = {"train": background, "test": ~background}
    splits = {split: PackedImages(bits[chosen], (105, 105, 1)) for split, chosen in rows.items()}
    return splits, {split: characters[chosen] for split, chosen in rows.items()}


DECODERS = {"cifar10": _cifar10, "dsprites": _dsprites, "omniglot_105": _omniglot_105}
