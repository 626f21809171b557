"""Checkpoints of a run: named arrays, everything that the rest of the run depends on, in files that are never half-written."""

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from echo_tf.errors import InputError
from echo_tf.files import write_atomically

KEEP = 2
NOTES, RUN = "notes", "run"  # the entries that hold what is no array, as JSON


class State(NamedTuple):
    """What a checkpoint holds.

    done: how much of the run, in its unit (epochs, steps, ...).
    arrays: name -> array.
    notes: anything of JSON: a history.
    run: the recorded settings of the run that it belongs to; None where an older version has saved it.
    """

    done: int
    arrays: dict
    notes: Any
    run: dict | None = None


def save(folder: Path, done: int, arrays: Mapping[str, np.ndarray], notes: Any = None, run: Mapping | None = None) -> None:
    """Writes a checkpoint and removes all but the newest two. Arguments: as of `State`."""
    buffer = io.BytesIO()
    np.savez(buffer, **{NOTES: json.dumps(notes), RUN: json.dumps(run)}, **arrays)
    write_atomically(Path(folder) / f"checkpoint-{done:09d}.npz", buffer.getvalue())
    for old in _newest_first(folder)[KEEP:]:
        old.unlink(missing_ok=True)


def restore(folder: Path, shapes: Mapping[str, tuple] | None = None) -> State | None:
    """The newest readable checkpoint, or None where there is none.

    Args:
        shapes: name -> shape of the arrays that it must hold; None: whatever it holds.

    Raises:
        InputError: if there are readable checkpoints, and all are of other shapes.
    """
    of_another = None
    for path in _newest_first(folder):
        try:
            with zipfile.ZipFile(path) as archive:  # numpy stops reading where a header says, and then compares no checksum
                if archive.testzip() is not None:
                    continue
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            notes, run = json.loads(str(arrays.pop(NOTES))), json.loads(str(arrays.pop(RUN, "null")))
            done = int(path.stem.partition("-")[2])
        except Exception:  # damaged since it was written, which shows in many ways: the one before it is there for this
            continue
        if shapes is not None and {k: v.shape for k, v in arrays.items()} != {k: tuple(v) for k, v in shapes.items()}:
            of_another = of_another or path
            continue
        return State(done, arrays, notes, run)
    if of_another is not None:
        raise InputError(f"{of_another} is a checkpoint of another network: remove {folder} to train this one from the start.")
    return None


def variables_of(holders: Mapping[str, Any]) -> dict:
    """Every variable of models and optimizers, by a name that another process gives it too.

    Args:
        holders: name -> model or optimizer, anything with `variables`; a model's include the states of its random generators.

    Returns:
        {"name/0012": variable}. Keras's own names would not do: they count the layers that the process has made so far.
    """
    return {f"{name}/{i:04d}": variable for name, holder in holders.items() for i, variable in enumerate(holder.variables)}


def done(folder: Path) -> int:
    """How much the newest checkpoint in a folder holds, 0 if there is none."""
    return max((int(path.stem.partition("-")[2]) for path in _newest_first(folder)), default=0)


def remove(folder: Path) -> None:
    """Removes all checkpoints, when the run is finished and recorded."""
    for path in _newest_first(folder):
        path.unlink(missing_ok=True)


def _newest_first(folder):
    return sorted(Path(folder).glob("checkpoint-*[0-9].npz"), reverse=True)
