"""What a reader finds in a file, before anything is decided about it."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from echo_tf.data import naming
from echo_tf.errors import InputError

WANTED = "x_train (perhaps x_valid, x_test and y_train, ...), or images, data, train, test, labels"


class Part(NamedTuple):
    """One array of a file.

    role: what it holds, as in `naming.Meaning`.
    split: whose, None where nothing says.
    array: as it was read.
    where: its file and name, for messages.
    """

    role: str
    split: str | None
    array: np.ndarray
    where: str


class Contents(NamedTuple):
    """parts: the arrays that are understood. notes: what the user should know of how they were read."""

    parts: list[Part]
    notes: list[str]


def from_arrays(path: Path, arrays: Mapping[str, Callable[[], np.ndarray]]) -> Contents:
    """The arrays of a file by their names; only those are read whose name is understood.

    Args:
        path: the file; its own name says the split where an array's does not.
        arrays: name -> what reads it.

    Raises:
        InputError: naming what is there, if nothing is understood.
    """
    said = naming.of_file(path)
    if list(arrays) == ["arr_0"]:  # numpy's name for an array without one
        return Contents([Part(*said, arrays["arr_0"](), str(path))], [])
    meanings = {name: naming.meaning(name) for name in arrays}
    parts = [
        Part(role.role, role.split or said.split, arrays[name](), f"{name} of {path}")
        for name, role in meanings.items()
        if role is not None
    ]
    if not any(part.role in ("examples", "labels", "factors") for part in parts):
        raise InputError(f"{path} has the arrays {', '.join(arrays) or '(none)'}; name what is meant {WANTED}.")
    left = [name for name, role in meanings.items() if role is None]
    return Contents(parts, [f"not used of {path.name}: {', '.join(left)}"] if left else [])


@contextlib.contextmanager
def said_of(where) -> Iterator[None]:
    """Puts the name of what is being looked at before the message of an InputError."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
