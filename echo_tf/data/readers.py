"""From files to arrays: a file is known by its content rather than its ending, and nothing that is read is executed."""

import gzip
import io
import math
import re
import zipfile
from pathlib import Path

import numpy as np

from echo_tf.data import image_folders, matlab, naming, tables
from echo_tf.data.contents import Contents, Part, from_arrays
from echo_tf.errors import InputError

FORMS = "a folder of images, .npz, .npy, .h5, .hdf5, .mat, .csv, .amat, idx files"
TABLES = (".csv", ".tsv", ".txt", ".amat", ".data")
IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}

_IMAGE = "is one image: give the folder that it is in"
_PICKLE = "is a pickle, which runs code when it is read: save the arrays with numpy.savez"
_REFUSED = {  # how what is often taken for data begins, and what to say of it
    rb"version https://git-lfs": "is a pointer of git-lfs, not the data: fetch them with: git lfs pull",
    rb"[\xef\xbb\xbf\s]*<": "is an HTML page, not data: download the file itself",
    rb"\x89PNG|\xff\xd8\xff|GIF8|BM.{4}\0{4}": _IMAGE,
    rb"\x80[\x02-\x05]": _PICKLE,
}


def read(path: str | Path) -> Contents:
    """The arrays of one file, or of a folder of images.

    Raises:
        InputError: if it is missing, of another kind, damaged, or a web page or git-lfs pointer saved under its name.
    """
    path = Path(path)
    if path.is_dir():
        return image_folders.read(path)
    if not path.is_file():
        raise InputError(f"{path} does not exist or is not a file.")
    with open(path, "rb") as file:
        head = file.read(1024)
    refuse_no_data(path, head)
    try:
        return _read(path, head)
    except (InputError, MemoryError):
        raise
    except Exception as error:  # the libraries that read these formats raise what they like
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{path} cannot be read (truncated or damaged?): {said}") from error


def refuse_no_data(path: Path, head: bytes) -> None:
    """Raises InputError for a file that is empty, a web page, a git-lfs pointer, a pickle or a single image."""
    if not head:
        raise InputError(f"{path} is empty.")
    for start, words in _REFUSED.items():
        if re.match(start, head, re.S):
            raise InputError(f"{path} {words}.")


def _read(path, head):
    if head.startswith(b"\x93NUMPY"):
        return Contents([Part(*naming.of_file(path), np.load(path, allow_pickle=False), str(path))], [])
    if head.startswith(b"PK\x03\x04"):
        return _read_npz(path)
    if head.startswith(b"MATLAB 7.3"):
        return matlab.read_hdf5(path)
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return read_hdf5(path)
    if head.startswith(b"MATLAB 5.0") or path.suffix.lower() == ".mat":
        return matlab.read(path)
    if head.startswith(b"\x1f\x8b"):
        with gzip.open(path) as file:
            return _read_plain(path, file.read(), path.with_suffix("").suffix.lower())
    if head[:2] == b"\0\0" or path.suffix.lower() in TABLES:
        return _read_plain(path, path.read_bytes(), path.suffix.lower())
    raise InputError(
        f"{path} has the content of none of the forms that can be imported ({FORMS}): it is of another, or damaged."
    )


def _read_plain(path, content, suffix):
    """An idx file or a table, which may have been compressed."""
    if content[:2] == b"\0\0" and len(content) > 3 and content[2] in IDX_TYPES:
        return Contents([read_idx(path, content)], [])
    if suffix in TABLES:
        refuse_no_data(path, content[:1024])
        return tables.read(path, io.BytesIO(content))
    raise InputError(
        f"{path} has the content of none of the forms that can be imported ({FORMS}): it is of another, or damaged."
    )


def read_idx(path: Path, content: bytes) -> Part:
    """MNIST's own format: a magic number that gives type and number of axes, the sizes of these, the values."""
    role, split = naming.of_file(path)
    if split is None:
        raise InputError(f"{path} is an idx file, whose name must say its split: put train, valid or test (or t10k) in it.")
    axes, start = content[3], 4 + 4 * content[3]
    shape = tuple(np.frombuffer(content, ">i4", axes, 4).tolist()) if len(content) >= start else (-1,)
    dtype = np.dtype(IDX_TYPES[content[2]])
    expected = start + dtype.itemsize * math.prod(shape)
    if min(shape, default=-1) < 0 or len(content) != expected:
        raise InputError(
            f"{path} is an idx file of {len(content):,} bytes, its header says {expected:,}: truncated or damaged."
        )
    array = np.frombuffer(content, dtype, -1, start).reshape(shape)
    return Part("labels" if axes == 1 else role, split, array.astype(dtype.newbyteorder("="), copy=False), str(path))


def read_hdf5(path: Path) -> Contents:
    """All arrays of an HDF5 file; links to other files are not followed."""
    import h5py

    with h5py.File(path, "r") as file:
        arrays = {}

        def note(name, found):
            if isinstance(found, h5py.Dataset):
                text = h5py.check_string_dtype(found.dtype) is not None
                arrays[name] = lambda: np.asarray(found.asstr()[()] if text else found[()])

        file.visititems(note)
        return from_arrays(path, arrays)


def _read_npz(path):
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if not names or not all(name.endswith(".npy") for name in names):
        raise InputError(f"{path} is a zip archive without arrays: unpack it, and give the folder or file that is in it.")
    with np.load(path, allow_pickle=False) as file:
        return from_arrays(path, {name: lambda name=name: file[name] for name in file.files})
