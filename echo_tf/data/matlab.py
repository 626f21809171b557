"""MATLAB files, whose arrays have the examples last as often as first."""

from pathlib import Path

import numpy as np

from echo_tf.data import naming
from echo_tf.data.contents import Contents, from_arrays
from echo_tf.errors import InputError

NUMBERS = {"double", "single", "logical", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))}


def read(path: Path) -> Contents:
    """A file of MATLAB 4 to 7; structures, cells and sparse matrices in it are passed over."""
    import scipy.io

    kinds = {name: kind for name, _, kind in scipy.io.whosmat(path)}
    wanted = [name for name, kind in kinds.items() if kind in NUMBERS and naming.meaning(name)]
    found = scipy.io.loadmat(path, variable_names=wanted) if wanted else {}
    return _of(path, {name: found[name] for name in wanted}, [name for name in kinds if not _names_classes(name)])


def read_hdf5(path: Path) -> Contents:
    """A file of MATLAB 7.3, which is HDF5 with the axes reversed."""
    import h5py

    with h5py.File(path, "r") as file:
        names = [name for name in file if not name.startswith("#")]
        numbers = [name for name in names if isinstance(file[name], h5py.Dataset) and _is_numbers(file[name])]
        wanted = [name for name in numbers if naming.meaning(name)]
        arrays = {name: file[name][()].T for name in wanted}
    return _of(path, arrays, [name for name in names if not _names_classes(name)])


def _names_classes(name):
    """Names of classes are cells of text in MATLAB, which nothing here can read."""
    said = naming.meaning(name)
    return said is not None and said.role.endswith("names")


def _of(path, arrays, names):
    if {"data", "testdata"} <= arrays.keys() and {arrays[name].shape[0] for name in ("data", "testdata")} == {784}:
        return _burda(path, arrays)
    arrays, notes = _examples_first(path, arrays)
    contents = from_arrays(path, {name: lambda name=name: _given(path, arrays, name) for name in names})
    return Contents(contents.parts, contents.notes + notes)


def _is_numbers(array):
    return array.dtype.kind in "biuf" and array.attrs.get("MATLAB_class") != b"char" and "MATLAB_empty" not in array.attrs


def _given(path, arrays, name):
    if name not in arrays:
        raise InputError(f"{name} of {path} is a structure, a cell, text or complex: save it as an array of numbers.")
    return arrays[name]


def _burda(path, arrays):
    """Burda's chardata.mat: an image a column, written column by column."""
    upright = {name: arrays[name].T.reshape(-1, 28, 28).transpose(0, 2, 1) for name in ("data", "testdata")}
    parts = from_arrays(path, {name: lambda name=name: upright[name] for name in upright}).parts
    return Contents(parts, [f"{path.name} is read as Burda's Omniglot: an image of 28x28 a column, column by column"])


def _examples_first(path, arrays):
    """The arrays with their examples along the first axis; labels of the same split, or the other splits, say which it is."""
    meanings = {name: naming.meaning(name) for name in arrays}
    numbers = {m.split: max(arrays[name].shape) for name, m in meanings.items() if m.role == "labels"}
    examples = {name: arrays[name] for name, m in meanings.items() if m.role == "examples"}
    turned, notes = dict(arrays), []
    for name, array in examples.items():
        others = [other.shape for key, other in examples.items() if key != name]
        axis = _axis_of_examples(array.shape, numbers.get(meanings[name].split), others)
        if axis is None:
            raise InputError(
                f"{name} of {path} has the shape {array.shape}, which leaves open which axis counts the examples: "
                "save labels with it, or an array (n, height, width, channels)."
            )
        if axis == 0 and array.ndim == 2 and not others and meanings[name].split not in numbers:
            notes.append(f"{name} of {path.name}: {len(array)} rows, taken for the examples as there are no fewer than columns")
        if axis != 0:
            turned[name] = np.moveaxis(array, -1, 0)
            notes.append(f"{name} of {path.name}: examples along its last axis")
    return turned, notes


def _axis_of_examples(shape, number, others):
    """0, -1, or None where it is left open."""
    if number is not None:
        found = [axis for axis in (0, -1) if shape[axis] == number]
        return found[0] if len(found) == 1 else None
    if len(shape) == 2:
        return _axis_by_others(shape, others) if others else 0 if shape[0] >= shape[1] else None
    first = shape[-2:] if len(shape) == 3 else shape[1:3]  # sides, if the examples come first
    last = shape[:2]
    if (first[0] == first[1]) != (last[0] == last[1]):
        return 0 if first[0] == first[1] else -1
    return _axis_by_others(shape, others)


def _axis_by_others(shape, others):
    """Splits have examples of one shape, and as a rule another number of them."""
    found = [
        axis
        for axis, rest in ((0, slice(1, None)), (-1, slice(None, -1)))
        if others and all(other[rest] == shape[rest] and other[axis] != shape[axis] for other in others)
    ]
    return found[0] if len(found) == 1 else None
