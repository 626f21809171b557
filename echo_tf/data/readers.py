"""Readers of the file formats in which the datasets are passed around. None executes what it reads."""

import gzip
import zipfile
import zlib
from pathlib import Path

import numpy as np

from echo_tf.errors import InputError

UNREADABLE = (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error)


def read_npz(path):
    """Arrays by name; pickled objects are refused."""
    with np.load(path, allow_pickle=False) as file:
        if isinstance(file, np.ndarray):
            raise ValueError("one array, not an .npz archive")
        return {name: file[name] for name in file.files}


def read_amat(path):
    """One split of Larochelle's binarized MNIST: 784 digits 0 or 1 a line."""
    x = np.loadtxt(path, dtype=np.uint8, ndmin=2)
    return {f"x_{_split_of(path)}": x.reshape(len(x), 28, 28)}


def read_mat(path):
    """Burda's chardata.mat: grey levels in [0, 1], one image a column, written column by column (Fortran order)."""
    import scipy.io

    try:
        file = scipy.io.loadmat(path, variable_names=["data", "testdata"])
    except NotImplementedError as error:  # MATLAB 7.3, which is HDF5
        raise ValueError(str(error)) from error
    images = {"x_train": file["data"], "x_test": file["testdata"]}
    return {
        name: np.round(255 * np.asarray(x, np.float64)).astype(np.uint8).T.reshape(-1, 28, 28).transpose(0, 2, 1)
        for name, x in images.items()
    }


def read_idx(path):
    """One file of MNIST's own format, gzipped: images (idx3) or labels (idx1)."""
    data = gzip.decompress(Path(path).read_bytes())
    if data[:3] != b"\0\0\x08" or data[3] not in (1, 3):
        raise ValueError("not an idx file of bytes")
    shape = np.frombuffer(data, ">i4", data[3], 4)
    array = np.frombuffer(data, np.uint8, -1, 4 + 4 * data[3]).reshape(shape)
    return {f"{'x' if data[3] == 3 else 'y'}_{_split_of(path)}": array}


READERS = {".npz": read_npz, ".amat": read_amat, ".mat": read_mat, ".gz": read_idx}


def read(path):
    """The arrays of one file, by its ending.

    Raises:
        InputError: if it is missing, of another kind, damaged, or a web page saved under its name.
    """
    path = Path(path)
    if path.suffix not in READERS:
        raise InputError(f"{path}: files end in {', '.join(READERS)}, got {path.suffix or 'no ending'}.")
    if not path.is_file():
        raise InputError(f"{path} does not exist or is not a file.")
    with open(path, "rb") as file:
        if file.read(64).lstrip()[:1] == b"<":
            raise InputError(f"{path} is an HTML page, not data: download the file itself.")
    try:
        return READERS[path.suffix](path)
    except UNREADABLE as error:
        raise InputError(f"{path} cannot be read as {path.suffix} (truncated or damaged?): {error}".splitlines()[0]) from error


def _split_of(path):
    name = Path(path).name.lower()
    for split, marks in (("train", ("train",)), ("valid", ("valid",)), ("test", ("test", "t10k"))):
        if any(mark in name for mark in marks):
            return split
    raise ValueError('the name says neither "train" nor "valid" nor "test" (or "t10k")')
