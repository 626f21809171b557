"""dSprites from the files of its authors: every image of a white shape for every combination of its factors.

Matthey, Higgins, Hassabis, Lerchner: dSprites, github.com/google-deepmind/dsprites-dataset (2017).
"""

import math
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from echo_tf.data.arrays import PIECE, PackedImages, pieces
from echo_tf.data.canonical import grid
from echo_tf.data.catalog import CATALOG
from echo_tf.data.dataset import Dataset
from echo_tf.data.readers import refuse_no_data
from echo_tf.errors import InputError
from echo_tf.files import sha256

LIT_PIXELS = 128_328_862  # of the original: its published mean, 0.042494423521889584, times the number of pixels


def read_original(paths: Sequence[str | Path]) -> Dataset:
    """dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz or .hdf5 as it is distributed, packed while it is read.

    Raises:
        InputError: if it is another file, or its images are not in the order of their factors.
    """
    if len(paths) != 1:
        raise InputError(f"dsprites is one file, dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz or .hdf5, got {len(paths)}.")
    path = Path(paths[0])
    if not path.is_file():
        raise InputError(f"{path} does not exist or is not a file.")
    with open(path, "rb") as file:
        head = file.read(1024)
    refuse_no_data(path, head)
    known = CATALOG["dsprites"]
    try:
        images = PackedImages.pack(_checked(path, _from_npz(path) if head.startswith(b"PK") else _from_hdf5(path)))
    except (InputError, MemoryError):
        raise
    except Exception as error:  # a damaged archive fails in many ways
        said = " ".join(str(error).split())[:200]
        raise InputError(f"{path} cannot be read as dSprites (truncated, damaged or another file?): {said}") from error
    lit = sum(int(np.bitwise_count(piece).sum(dtype=np.int64)) for piece in pieces(images.bits))
    differs = "" if lit == LIT_PIXELS else f"; {lit:,} lit pixels in place of the original's {LIT_PIXELS:,}"
    return Dataset(
        "dsprites",
        f"imported from {path.name} (SHA-256 {sha256(path)[:12]}){differs}",
        path.name,
        {"train": images},
        known.maximum,
        factors={"train": grid(known.factors.values())},
        factor_names=tuple(known.factors),
        factor_sizes=tuple(known.factors.values()),
    )


def _checked(path, parts) -> Iterator[np.ndarray]:
    """The pieces of images, after their classes, which come first."""
    classes = next(parts)
    if not np.array_equal(classes[:, -5:], grid(CATALOG["dsprites"].factors.values())):
        raise InputError(f"{path} does not have the 737,280 images of dSprites in the order of their factors.")
    for piece in parts:
        if piece.shape[1:] != (64, 64) or piece.max() > 1:
            raise InputError(f"{path} must have images of 64x64 zeros and ones, got {piece.shape[1:]} up to {piece.max()}.")
        yield piece[..., None]


def _from_npz(path):
    with np.load(path, allow_pickle=False) as file:  # its metadata are a pickle, and are not looked at
        yield file["latents_classes"]
    with zipfile.ZipFile(path) as archive, archive.open("imgs.npy") as file:
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, by_columns, dtype = header(file)
        if by_columns or dtype.itemsize != 1 or len(shape) != 3:
            raise ValueError(f"imgs are {dtype} {shape}")
        size = math.prod(shape[1:])
        for start in range(0, shape[0], PIECE // size):
            number = min(PIECE // size, shape[0] - start)
            yield np.frombuffer(file.read(number * size), np.uint8).reshape(number, *shape[1:])


def _from_hdf5(path):
    import h5py

    with h5py.File(path, "r") as file:
        yield file["latents/classes"][()]
        yield from pieces(file["imgs"])
