"""Checkpoints of a training run: everything that the next epoch depends on, in one file that is never half-written."""

import io
import json
import zipfile
import zlib
from pathlib import Path

import numpy as np
from keras import ops

from echo_tf.errors import InputError
from echo_tf.files import write_atomically

KEEP = 2


def save(folder, model, history):
    """Writes the state after len(history) epochs and removes all but the newest two checkpoints.

    The state is every variable of the model (weights and the state of its random generators) and of the
    optimizer, bit for bit, and the history.
    """
    buffer = io.BytesIO()
    np.savez(buffer, history=json.dumps(history), **{k: ops.convert_to_numpy(v.value) for k, v in _state(model).items()})
    write_atomically(Path(folder) / f"checkpoint-{len(history):05d}.npz", buffer.getvalue())
    for old in _newest_first(folder)[KEEP:]:
        old.unlink()


def restore(folder, model):
    """Puts the newest readable checkpoint into the model and returns its history ([] if there is none).

    Raises:
        InputError: if the checkpoint is another network's.
    """
    for path in _newest_first(folder):
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            history = json.loads(str(arrays.pop("history")))
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error):
            continue  # damaged since it was written: the one before it is there for this
        state = _state(model)
        if {k: v.shape for k, v in arrays.items()} != {k: tuple(v.shape) for k, v in state.items()}:
            raise InputError(f"{path} is a checkpoint of another network: remove {folder} to train this one from the start.")
        for name, variable in state.items():
            variable.assign(arrays[name])
        return history
    return []


def epochs_done(folder):
    """The number of epochs of the newest checkpoint in a folder, 0 if there is none."""
    return max((int(path.stem.partition("-")[2]) for path in _newest_first(folder)), default=0)


def remove(folder):
    """Removes all checkpoints, when the run is finished and recorded."""
    for path in _newest_first(folder):
        path.unlink()


def _newest_first(folder):
    return sorted(Path(folder).glob("checkpoint-*.npz"), reverse=True)


def _state(model):
    """All state, numbered: model variables include the seed generators' states.

    Keras's own names would not do: they count the layers that the process has made so far.
    """
    return {f"{i:04d}": variable for i, variable in enumerate([*model.variables, *model.optimizer.variables])}
